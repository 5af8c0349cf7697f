"""Conversations, in the shapes in which people have them, as rows of tokens to learn from.

conversation   records of many shapes -> messages with a role and a content
recognise      whether a text is conversations
rendering      a conversation through the chat template, and which tokens are targets
encoding       all of them as ids on disk, in the user's cache
splits         some are kept for validation, long ones are cut
packing        examples of all lengths in rows of one length
"""
