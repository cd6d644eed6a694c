"""Send later: claim, send, retry, finish, drain."""
