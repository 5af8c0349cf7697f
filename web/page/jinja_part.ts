// The part of a page that renders chat templates, for the worker to find.
import { render } from "./jinja.ts";

(globalThis as { homespunRender?: typeof render }).homespunRender = render;
