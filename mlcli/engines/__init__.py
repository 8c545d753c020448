"""The engines: one table that names them, and what each can do."""
