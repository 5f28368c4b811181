# ruff: noqa: E501
"""The bugs that bench/planted.py plants: exact edits in pinned packages, ten kinds, two halves.

They were planted before any rule was tuned, and no rule was tuned on the half that is held out.
"""

from typing import NamedTuple

KINDS = (
    "off by one",
    "inverted condition",
    "missing check for None",
    "wrong variable",
    "lost result",
    "resource leak",
    "swallowed error",
    "unsafe call",
    "shared mutable state",
    "wrong arguments",
)


class Bug(NamedTuple):
    """An edit of one place: `old` stands exactly once in the file at `path`."""

    package: str
    kind: str
    path: str
    old: str
    new: str


class Package(NamedTuple):
    """A wheel on PyPI by name and version; `folder` is what of it is reviewed."""

    name: str
    version: str
    folder: str
    half: str


PACKAGES = (
    Package("requests", "2.31.0", "requests", "tuned on"),
    Package("click", "8.1.7", "click", "tuned on"),
    Package("flask", "2.3.1", "flask", "tuned on"),
    Package("jinja2", "3.1.3", "jinja2", "tuned on"),
    Package("urllib3", "2.1.0", "urllib3", "held out"),
    Package("httpx", "0.26.0", "httpx", "held out"),
    Package("tornado", "6.4", "tornado", "held out"),
    Package("sqlparse", "0.4.4", "sqlparse", "held out"),
)

BUGS = (
    # requests
    Bug(
        "requests",
        "missing check for None",
        "requests/utils.py",
        "        # Abort early if there isn't one.\n        if netrc_path is None:\n"
        "            return\n\n        ri = urlparse(url)\n",
        "        ri = urlparse(url)\n",
    ),
    Bug(
        "requests",
        "swallowed error",
        "requests/utils.py",
        "    except BaseException:\n        os.remove(tmp_name)\n        raise\n",
        "    except BaseException:\n        os.remove(tmp_name)\n",
    ),
    Bug(
        "requests",
        "wrong variable",
        "requests/sessions.py",
        "        changed_port = old_parsed.port != new_parsed.port\n",
        "        changed_port = old_parsed.port != old_parsed.port\n",
    ),
    Bug(
        "requests",
        "shared mutable state",
        "requests/sessions.py",
        "    def rebuild_auth(self, prepared_request, response):\n",
        "    def rebuild_auth(self, prepared_request, response, stripped=[]):\n"
        "        stripped.append(prepared_request.url)\n",
    ),
    Bug(
        "requests",
        "lost result",
        "requests/auth.py",
        '    if isinstance(password, str):\n        password = password.encode("latin1")\n',
        '    if isinstance(password, str):\n        password.encode("latin1")\n',
    ),
    Bug(
        "requests",
        "unsafe call",
        "requests/sessions.py",
        "        self.verify = True\n",
        "        self.verify = False\n",
    ),
    # click
    Bug(
        "click",
        "unsafe call",
        "click/_termui_impl.py",
        "            return subprocess.Popen(args, stderr=null).wait()\n",
        "            return subprocess.Popen(' '.join(args), stderr=null, shell=True).wait()\n",
    ),
    Bug(
        "click",
        "resource leak",
        "click/_termui_impl.py",
        '    with open_stream(filename, "wb")[0] as f:\n        f.write(text.encode(encoding))\n',
        '    f = open(filename, "wb")\n    f.write(text.encode(encoding))\n',
    ),
    Bug(
        "click",
        "inverted condition",
        "click/_compat.py",
        "    if perm is not None:\n        os.chmod(tmp_filename, perm)",
        "    if perm is None:\n        os.chmod(tmp_filename, perm)",
    ),
    Bug(
        "click",
        "swallowed error",
        "click/_compat.py",
        "                continue\n            raise\n\n    if perm is",
        "                continue\n\n    if perm is",
    ),
    Bug(
        "click",
        "missing check for None",
        "click/_termui_impl.py",
        "            if file is None:\n                file = StringIO()\n\n        self.file",
        "        self.file",
    ),
    Bug(
        "click",
        "wrong arguments",
        "click/_compat.py",
        "    af = _AtomicFile(f, tmp_filename, os.path.realpath(filename))\n",
        "    af = _AtomicFile(f, os.path.realpath(filename))\n",
    ),
    # flask
    Bug(
        "flask",
        "resource leak",
        "flask/config.py",
        '            with open(filename, mode="rb") as config_file:\n'
        '                exec(compile(config_file.read(), filename, "exec"), d.__dict__)\n',
        '            config_file = open(filename, mode="rb")\n'
        '            exec(compile(config_file.read(), filename, "exec"), d.__dict__)\n',
    ),
    Bug(
        "flask",
        "wrong variable",
        "flask/cli.py",
        "    if sys.path[0] != path:\n        sys.path.insert(0, path)\n",
        "    if sys.path[0] != path:\n        sys.path.insert(0, name)\n",
    ),
    Bug(
        "flask",
        "swallowed error",
        "flask/sessions.py",
        "        except BadSignature:\n            return self.session_class()\n",
        "        except:\n            pass\n",
    ),
    Bug(
        "flask",
        "lost result",
        "flask/helpers.py",
        "    # filepath is import_name.py for a module, or __init__.py for a package.\n"
        "    return os.path.dirname(os.path.abspath(filepath))\n",
        "    # filepath is import_name.py for a module, or __init__.py for a package.\n"
        "    os.path.dirname(os.path.abspath(filepath))\n",
    ),
    Bug(
        "flask",
        "wrong arguments",
        "flask/cli.py",
        "        return find_app_by_string(module, app_name)\n",
        "        return find_app_by_string(app_name, module)\n",
    ),
    Bug(
        "flask",
        "shared mutable state",
        "flask/helpers.py",
        "def _split_blueprint_path(name: str) -> list[str]:\n    out: list[str] = [name]\n",
        "def _split_blueprint_path(name: str, out: list[str] = []) -> list[str]:\n"
        "    out.append(name)\n",
    ),
    # jinja2
    Bug(
        "jinja2",
        "resource leak",
        "jinja2/bccache.py",
        "        with f:\n            bucket.load_bytecode(f)\n",
        "        bucket.load_bytecode(f)\n",
    ),
    Bug(
        "jinja2",
        "off by one",
        "jinja2/utils.py",
        "            elif len(self._mapping) == self.capacity:\n",
        "            elif len(self._mapping) > self.capacity:\n",
    ),
    Bug(
        "jinja2",
        "inverted condition",
        "jinja2/loaders.py",
        "                    if template not in found:\n                        found.add(template)\n"
        "        return sorted(found)\n",
        "                    if template in found:\n                        found.add(template)\n"
        "        return sorted(found)\n",
    ),
    Bug(
        "jinja2",
        "unsafe call",
        "jinja2/bccache.py",
        "        checksum = pickle.load(f)\n        if self",
        "        checksum = eval(f.readline())\n        if self",
    ),
    Bug(
        "jinja2",
        "wrong variable",
        "jinja2/utils.py",
        "        rv._mapping.update(self._mapping)\n        rv._queue.extend(self._queue)\n",
        "        rv._mapping.update(self._mapping)\n        rv._queue.extend(rv._queue)\n",
    ),
    Bug(
        "jinja2",
        "off by one",
        "jinja2/filters.py",
        "    for slice_number in range(slices):\n",
        "    for slice_number in range(slices + 1):\n",
    ),
    # urllib3, held out
    Bug(
        "urllib3",
        "wrong variable",
        "urllib3/_collections.py",
        "                return self._headers._has_value_for_header(passed_key, passed_val)\n",
        "                return self._headers._has_value_for_header(passed_key, passed_key)\n",
    ),
    Bug(
        "urllib3",
        "resource leak",
        "urllib3/util/ssl_.py",
        "    with open(key_file) as f:\n        for line in f:\n"
        '            # Look for Proc-Type: 4,ENCRYPTED\n            if "ENCRYPTED" in line:\n'
        "                return True\n",
        "    f = open(key_file)\n    for line in f:\n"
        '        # Look for Proc-Type: 4,ENCRYPTED\n        if "ENCRYPTED" in line:\n'
        "            return True\n",
    ),
    Bug(
        "urllib3",
        "inverted condition",
        "urllib3/util/retry.py",
        "        if self.allowed_methods and method.upper() not in self.allowed_methods:\n"
        "            return False\n        return True\n",
        "        if self.allowed_methods and method.upper() in self.allowed_methods:\n"
        "            return False\n        return True\n",
    ),
    Bug(
        "urllib3",
        "swallowed error",
        "urllib3/util/ssl_.py",
        "        except OSError as e:\n            raise SSLError(e) from e\n\n    elif ssl_context",
        "        except Exception:\n            pass\n\n    elif ssl_context",
    ),
    Bug(
        "urllib3",
        "missing check for None",
        "urllib3/util/connection.py",
        "    if options is None:\n        return\n\n    for opt in options:\n",
        "    for opt in options:\n",
    ),
    Bug(
        "urllib3",
        "lost result",
        "urllib3/filepost.py",
        "            data = str(data)  # Backwards compatibility\n",
        "            str(data)  # Backwards compatibility\n",
    ),
    # httpx, held out
    Bug(
        "httpx",
        "lost result",
        "httpx/_auth.py",
        "            await request.aread()\n\n        flow",
        "            request.aread()\n\n        flow",
    ),
    Bug(
        "httpx",
        "wrong variable",
        "httpx/_utils.py",
        "        if self.port is not None and self.port != other.port:\n",
        "        if self.port is not None and self.port != self.port:\n",
    ),
    Bug(
        "httpx",
        "off by one",
        "httpx/_decoders.py",
        '            lines = ["".join(self.buffer) + lines[0]] + lines[1:]\n',
        '            lines = ["".join(self.buffer) + lines[0]] + lines[2:]\n',
    ),
    Bug(
        "httpx",
        "missing check for None",
        "httpx/_models.py",
        "        if content_type is None:\n            return None\n\n        return parse",
        "        return parse",
    ),
    Bug(
        "httpx",
        "swallowed error",
        "httpx/_utils.py",
        "        except (AttributeError, OSError):\n"
        "            # Not even that? Sorry, we're doomed...\n            return None\n",
        "        except:\n            # Not even that? Sorry, we're doomed...\n            pass\n",
    ),
    Bug(
        "httpx",
        "unsafe call",
        "httpx/_config.py",
        "        context.verify_mode = ssl.CERT_REQUIRED\n        context.check_hostname = True\n",
        "        context.check_hostname = False\n        context.verify_mode = ssl.CERT_NONE\n",
    ),
    # tornado, held out
    Bug(
        "tornado",
        "unsafe call",
        "tornado/autoreload.py",
        "        subprocess.Popen([sys.executable] + argv)\n",
        '        subprocess.Popen(" ".join([sys.executable] + argv), shell=True)\n',
    ),
    Bug(
        "tornado",
        "shared mutable state",
        "tornado/httputil.py",
        "        parsed_query = parse_qsl(parsed_url.query, keep_blank_values=True)\n"
        "        parsed_query.extend(args)\n",
        "        parsed_query = args\n"
        "        parsed_query.extend(parse_qsl(parsed_url.query, keep_blank_values=True))\n",
    ),
    Bug(
        "tornado",
        "off by one",
        "tornado/locale.py",
        "                if not row or len(row) < 2:\n",
        "                if not row or len(row) <= 2:\n",
    ),
    Bug(
        "tornado",
        "wrong arguments",
        "tornado/process.py",
        '            gen_log.info("child %d (pid %d) exited normally", id, pid)\n',
        '            gen_log.info("child %d (pid %d) exited normally", pid)\n',
    ),
    Bug(
        "tornado",
        "resource leak",
        "tornado/template.py",
        '        with open(path, "rb") as f:\n'
        "            template = Template(f.read(), name=name, loader=self)\n"
        "            return template\n",
        '        f = open(path, "rb")\n'
        "        template = Template(f.read(), name=name, loader=self)\n"
        "        return template\n",
    ),
    Bug(
        "tornado",
        "inverted condition",
        "tornado/netutil.py",
        '    if not ip or "\\x00" in ip:\n',
        '    if ip or "\\x00" in ip:\n',
    ),
    # sqlparse, held out
    Bug(
        "sqlparse",
        "missing check for None",
        "sqlparse/engine/grouping.py",
        "        if end is not None:\n            eidx, end = tlist.token_prev(eidx, skip_ws=False)\n"
        "            tlist.group_tokens(sql.Comment, tidx, eidx)\n",
        "        eidx, end = tlist.token_prev(eidx, skip_ws=False)\n"
        "        tlist.group_tokens(sql.Comment, tidx, eidx)\n",
    ),
    Bug(
        "sqlparse",
        "shared mutable state",
        "sqlparse/sql.py",
        "    def __init__(self, tokens=None):\n        self.tokens = tokens or []\n",
        "    def __init__(self, tokens=[]):\n        self.tokens = tokens\n",
    ),
    Bug(
        "sqlparse",
        "wrong arguments",
        "sqlparse/engine/grouping.py",
        "    _group(tlist, sql.Identifier, match, valid_prev, valid_next, post)\n\n\n"
        "def group_assignment",
        "    _group(tlist, sql.Identifier, match, valid_prev, post)\n\n\ndef group_assignment",
    ),
    Bug(
        "sqlparse",
        "lost result",
        "sqlparse/engine/grouping.py",
        "        snidx, _ = tlist.token_next_by(m=m_semicolon, idx=nidx)\n"
        "        nidx = snidx or nidx\n        return pidx, nidx\n",
        "        snidx, _ = tlist.token_next_by(m=m_semicolon, idx=nidx)\n"
        "        snidx or nidx\n        return pidx, nidx\n",
    ),
    Bug(
        "sqlparse",
        "wrong variable",
        "sqlparse/filters/reindent.py",
        "                for cond, value in iterable:\n"
        "                    token = value[0] if cond is None else cond[0]\n"
        "                    tlist.insert_before(token, self.nl())\n",
        "                for cond, value in iterable:\n"
        "                    token = value[0] if cond is None else cond[0]\n"
        "                    tlist.insert_before(first, self.nl())\n",
    ),
    Bug(
        "sqlparse",
        "wrong arguments",
        "sqlparse/cli.py",
        "            return _error('Failed to open {}: {}'.format(args.outfile, e))\n",
        "            return _error('Failed to open {}: {}'.format(args.outfile))\n",
    ),
)
