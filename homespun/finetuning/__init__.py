"""Fine-tuning: a pretrained model is trained on the user's text, or to answer as in the user's conversations.

lora, nf4          trainable low-rank matrices; the base model in four bits
growing            embedding rows for new tokens
learner            the loss of packed sequences, without logits for all positions
objectives         what the training loop trains for: the answers of conversations, or a text
recipe, methods    what a run trains and saves: all weights, or LoRA
card               its model card
speed              timing of this machine for the planner
general_text       a general text that measures what the model forgets
"""
