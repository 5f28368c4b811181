"""Token ids in, token ids out: the model store, the tokenizer and the engine."""
