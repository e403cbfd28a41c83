"""The block language: a network as rows `[repeat, kind, arguments]`.

A new kind is one class with the decorator `registry.block` in a file of `types/`.
"""
