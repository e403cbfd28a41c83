"""Tables (CSV and its kin) that list images with their classes: reading, columns, finding files."""
