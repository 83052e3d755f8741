"""What an export says of itself: manifest, golden vectors, reports."""
