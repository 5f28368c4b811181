"""Tensors in, tensors out: the operations of the decoder and their references."""
