"""What the page sends and gets, as pydantic models: the contract that web/studio/schema.json is written from."""
