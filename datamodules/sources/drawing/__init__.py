"""How the scenes of the drawn data set come about: shapes, surfaces, looks of a class, a scene.

Imports numpy and OpenCV, and nothing of this package but each other.
"""
