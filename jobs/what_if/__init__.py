"""Questions about a recipe, answered on what is there already; nothing else is made from the answers."""
