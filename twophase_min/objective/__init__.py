"""The user's function: its calls, its gradient, its checks, and how compiled code reaches it."""
