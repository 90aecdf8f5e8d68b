"""The other evaluators of the same rules: asked for their groups and alerts, so that each one shows all of them."""
