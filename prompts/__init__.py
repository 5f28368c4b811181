"""From Documents to a Pack under a Budget, and the jobs that ask questions of it."""
