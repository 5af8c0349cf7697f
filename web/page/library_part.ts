// The part of a page that reads tokenizers of other kinds, for the worker to find.
import { openLibrary } from "./tokenizer/library.ts";

(globalThis as { homespunLibrary?: typeof openLibrary }).homespunLibrary = openLibrary;
