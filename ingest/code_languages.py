"""The languages whose code is parsed: their grammars, and what in a syntax tree is a definition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

# In `definitions` a capture's name is the word shown before the definition's name; @name and
# @owner (the type that a Go method belongs to) are its parts. In `uses`, @call is a name called by
# itself, @member one called on something else, and @import what stands in an import.
_SCRIPT_DEFINITIONS = """
(function_declaration name: (_) @name) @function
(generator_function_declaration name: (_) @name) @function
(class_declaration name: (_) @name) @class
(method_definition name: (_) @name) @method
(variable_declarator name: (identifier) @name
  value: [(arrow_function) (function_expression) (generator_function)]) @function
(variable_declarator name: (identifier) @name value: (class)) @class
(assignment_expression left: [(identifier) (member_expression)] @name
  right: [(arrow_function) (function_expression) (generator_function)]) @function
(pair key: (property_identifier) @name value: [(arrow_function) (function_expression)]) @method
"""
_SCRIPT_USES = """
(call_expression function: [(identifier) @call
  (member_expression property: (property_identifier) @member)])
(new_expression constructor: [(identifier) @call
  (member_expression property: (property_identifier) @member)])
(import_statement source: (string) @import)
(export_statement source: (string) @import)
(call_expression function: (import) arguments: (arguments . (string) @import))
(call_expression function: (identifier) @_name arguments: (arguments . (string) @import)
  (#eq? @_name "require"))
"""
_JSX_USES = """
(jsx_opening_element name: (identifier) @call)
(jsx_self_closing_element name: (identifier) @call)
"""
_TYPED_DEFINITIONS = """
(abstract_class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(type_alias_declaration name: (_) @name) @type
(enum_declaration name: (_) @name) @enum
(internal_module name: (_) @name) @namespace
(module name: (_) @name body: (_)) @module
(public_field_definition name: (_) @name value: [(arrow_function) (function_expression)]) @method
"""
_TYPED_USES = "(import_require_clause source: (string) @import)\n"
_C_DEFINITIONS = """
(function_definition declarator: (function_declarator declarator: (_) @name)) @function
(function_definition
  declarator: (_ (function_declarator declarator: (_) @name))) @function
(function_definition
  declarator: (_ (_ (function_declarator declarator: (_) @name)))) @function
(struct_specifier name: (_) @name body: (_)) @struct
(union_specifier name: (_) @name body: (_)) @union
(enum_specifier name: (_) @name body: (_)) @enum
(type_definition type: (struct_specifier body: (_)) declarator: (_) @name) @struct
(type_definition type: (union_specifier body: (_)) declarator: (_) @name) @union
(type_definition type: (enum_specifier body: (_)) declarator: (_) @name) @enum
"""
_C_USES = """
(call_expression function: [(identifier) @call
  (field_expression field: (field_identifier) @member)])
(preproc_include path: (_) @import)
"""


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its grammar (`package.function`), the suffixes of its files, and two queries.

    `joint` is what it writes between a name and that of what it is part of.
    """

    name: str
    grammar: str
    suffixes: tuple[str, ...]
    definitions: str
    uses: str
    joint: str = "."


# The ten that most code is written in. Shell has no modules to follow; of Ruby and PHP, the
# second is the more written one.
LANGUAGES = (
    Language(
        "python",
        "tree_sitter_python.language",
        (".py", ".pyi", ".pyw"),
        """
(function_definition name: (_) @name) @def
(class_definition name: (_) @name) @class
""",
        """
(call function: [(identifier) @call (attribute attribute: (identifier) @member)])
(decorator [(identifier) @call (attribute attribute: (identifier) @member)])
(import_statement) @import
(import_from_statement) @import
""",
    ),
    Language(
        "javascript",
        "tree_sitter_javascript.language",
        (".js", ".mjs", ".cjs", ".jsx"),
        _SCRIPT_DEFINITIONS
        + "(field_definition property: (_) @name value: [(arrow_function) (function_expression)])"
        " @method\n",
        _SCRIPT_USES + _JSX_USES,
    ),
    Language(
        "typescript",
        "tree_sitter_typescript.language_typescript",
        (".ts", ".mts", ".cts"),
        _SCRIPT_DEFINITIONS + _TYPED_DEFINITIONS,
        _SCRIPT_USES + _TYPED_USES,
    ),
    Language(
        "typescript",
        "tree_sitter_typescript.language_tsx",
        (".tsx",),
        _SCRIPT_DEFINITIONS + _TYPED_DEFINITIONS,
        _SCRIPT_USES + _TYPED_USES + _JSX_USES,
    ),
    Language(
        "java",
        "tree_sitter_java.language",
        (".java",),
        """
(class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(annotation_type_declaration name: (_) @name) @interface
(enum_declaration name: (_) @name) @enum
(record_declaration name: (_) @name) @record
(method_declaration name: (_) @name) @method
(constructor_declaration name: (_) @name) @constructor
""",
        """
(method_invocation !object name: (identifier) @call)
(method_invocation object: (_) name: (identifier) @member)
(object_creation_expression type: [(type_identifier) @call
  (generic_type (type_identifier) @call)])
(import_declaration) @import
""",
    ),
    Language(
        "c",
        "tree_sitter_c.language",
        (".c",),
        _C_DEFINITIONS,
        _C_USES,
    ),
    # A header may be either; the grammar of C++ reads nearly all of C.
    Language(
        "c++",
        "tree_sitter_cpp.language",
        (".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".cu", ".cuh"),
        _C_DEFINITIONS
        + """
(class_specifier name: (_) @name body: (_)) @class
(namespace_definition name: (_) @name) @namespace
(concept_definition name: (_) @name) @concept
""",
        _C_USES
        + """
(call_expression function: (qualified_identifier name: (identifier) @member))
(call_expression function: (template_function name: (identifier) @call))
(new_expression type: (type_identifier) @call)
""",
        "::",
    ),
    Language(
        "c#",
        "tree_sitter_c_sharp.language",
        (".cs",),
        """
(namespace_declaration name: (_) @name) @namespace
(file_scoped_namespace_declaration name: (_) @name) @namespace
(class_declaration name: (_) @name) @class
(struct_declaration name: (_) @name) @struct
(interface_declaration name: (_) @name) @interface
(enum_declaration name: (_) @name) @enum
(record_declaration name: (_) @name) @record
(delegate_declaration name: (_) @name) @delegate
(method_declaration name: (_) @name) @method
(constructor_declaration name: (_) @name) @constructor
(property_declaration name: (_) @name) @property
""",
        """
(invocation_expression function: [(identifier) @call (generic_name (identifier) @call)
  (member_access_expression name: [(identifier) @member (generic_name (identifier) @member)])])
(object_creation_expression type: [(identifier) @call (generic_name (identifier) @call)])
(using_directive) @import
""",
    ),
    Language(
        "go",
        "tree_sitter_go.language",
        (".go",),
        """
(function_declaration name: (_) @name) @func
(method_declaration
  receiver: (parameter_list (parameter_declaration type: (_) @owner)) name: (_) @name) @func
(type_declaration (type_spec name: (_) @name)) @type
""",
        """
(call_expression function: [(identifier) @call
  (selector_expression field: (field_identifier) @member)])
(import_spec path: (_) @import)
""",
    ),
    Language(
        "rust",
        "tree_sitter_rust.language",
        (".rs",),
        """
(function_item name: (_) @name) @fn
(struct_item name: (_) @name) @struct
(enum_item name: (_) @name) @enum
(union_item name: (_) @name) @union
(trait_item name: (_) @name) @trait
(impl_item type: (_) @name) @impl
(mod_item name: (_) @name body: (_)) @mod
(macro_definition name: (_) @name) @macro
""",
        """
(call_expression function: [(identifier) @call (scoped_identifier name: (identifier) @member)
  (field_expression field: (field_identifier) @member)])
(call_expression function: (generic_function function: [(identifier) @call
  (scoped_identifier name: (identifier) @member)
  (field_expression field: (field_identifier) @member)]))
(macro_invocation macro: (identifier) @call)
(use_declaration) @import
(mod_item !body) @import
""",
        "::",
    ),
    Language(
        "php",
        "tree_sitter_php.language_php",
        (".php",),
        """
(namespace_definition name: (_) @name body: (_)) @namespace
(function_definition name: (_) @name) @function
(class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(trait_declaration name: (_) @name) @trait
(enum_declaration name: (_) @name) @enum
(method_declaration name: (_) @name) @method
""",
        """
(function_call_expression function: [(name) @call (qualified_name (name) @call)])
(member_call_expression name: (name) @member)
(nullsafe_member_call_expression name: (name) @member)
(scoped_call_expression name: (name) @member)
(object_creation_expression [(name) @call (qualified_name (name) @call)])
(namespace_use_declaration) @import
(require_expression) @import
(require_once_expression) @import
(include_expression) @import
(include_once_expression) @import
""",
        "::",
    ),
)
# Definitions that are not cut at the definitions inside them.
FUNCTIONS = frozenset("def function method constructor property func fn macro delegate".split())
# Nodes that stand around a definition and belong to it, and those that may stand right above it.
WRAPPERS = frozenset(
    "decorated_definition export_statement template_declaration lexical_declaration"
    " variable_declaration expression_statement ambient_declaration".split()
)
COMMENTS = frozenset("comment line_comment block_comment attribute_item decorator".split())

_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}


def language_of(name: str) -> Language | None:
    """The language of a file by its suffix; None for one that is not parsed."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())
