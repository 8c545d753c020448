"""The engines: one contract, and one package per framework that implements it."""
