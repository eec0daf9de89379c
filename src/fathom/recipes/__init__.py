"""Complete recipes as Python functions: (summary of the data) -> Recipe."""
