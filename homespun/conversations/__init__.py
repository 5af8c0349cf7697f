"""Conversations in the common dataset formats, as rows of tokens to train on.

conversation   records of many formats -> messages with a role and a content
recognise      whether a text is conversations
rendering      a conversation through the chat template, and which tokens are targets
encoding       all conversations as ids on disk, in the user's cache
splits         the validation split, and cutting of long conversations
packing        examples of all lengths in rows of one length
"""
