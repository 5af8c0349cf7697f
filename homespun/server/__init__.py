"""An HTTP server in the form of OpenAI's API, for any model that homespun opens.

fields, requests    which parameter does what: one table, from which docs/serve.md is written; what is read
errors              one envelope for everything that can go wrong
guard               which requests are answered at all: host, origin, key, content type, size
engines             the thread that takes the engines' steps, and its bridge to asyncio
served, models      a model that is ready; all that there are, loaded when first asked for
asked, written      from a request to the engine's requests; from tokens to text with log-probabilities
events              an answer as a stream; a client that leaves ends it
completions, chat, responses, embeddings, tokens    the endpoints
metrics, app, serving    numbers for Prometheus; the application; the process
"""
