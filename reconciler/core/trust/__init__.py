"""Who may change what: the rules of a repository, and its commits judged by them."""
