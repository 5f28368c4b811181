"""From paths to Documents: text with its places kept."""
