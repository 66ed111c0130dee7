"""A conversation with an attached model in the terminal (`moa-compile chat`, docs/chat.md)."""
