"""Find faces and follow them."""
