"""A model's probabilities become text: ids, then pieces in whole characters, then a string.

The ladder, simplest first:

    settings, request   what is asked for
    sampling            choosing a token: plain functions of logits
    window, kv_blocks   what of a long text the model sees; which keys and values are stored where
    sequence            one request on its way: its ids, its random state
    paged, adapters     the paged KV cache, and the context in which the model decodes with it; LoRA by sequence
    decoding            the fastest decoding step there is, and a whole model computed by it
    prefill             how much of a new prompt is computed beside texts that are being written
    runner, engine      what computes the next logits; the scheduler of many sequences
    stopping, text      strings that must not appear; pieces and strings
    constraint          what a text may be: a regular expression, a JSON schema
    background          the engine for several threads
    chat                a talk, or a text written in turns
"""
