"""The pages, one per module: TITLE, ORDER and render(). A new module is a new page; nothing else changes."""
