"""Parts that several pages draw: controls, transport bar, stage, dialogs."""
