"""One HTML file that runs a model in any browser, without a server and without a network."""
