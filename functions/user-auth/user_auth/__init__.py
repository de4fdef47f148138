"""user-auth: accounts, sessions and access tokens over HTTP. The rules know no framework; main.py adapts one."""
