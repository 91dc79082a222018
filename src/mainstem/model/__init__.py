"""The nouns both planes share: plain values and pure functions, no I/O."""
