"""The commands as functions, for a program or a notebook.

>>> import homespun
>>> run = homespun.train("book.txt", steps=500)       # doctest: +SKIP
>>> print(run.generate("Once"))                       # doctest: +SKIP

language_model                the functions of a model: generate, evaluate, load
train, finetune, plan         train a model, fine-tune one, show the plan without training
train_setup, finetune_setup   from the arguments to what a run needs: text, tokenizer, dataset, plan
export                        write a model for other programs
serve                         put models behind an HTTP server
studio                        the studio in the browser, over the runs of a folder
show, portrait, past_run      describe a model and its run without loading weights
"""
