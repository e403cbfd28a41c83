"""A page on which a picture is dropped and several networks say what they see."""
