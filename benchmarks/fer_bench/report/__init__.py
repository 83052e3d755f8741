"""Show what was measured: terminal, HTML page, charts."""
