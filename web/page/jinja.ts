// Chat templates that are more than a form, by @huggingface/jinja. It stands only in pages that need it.
import { Template } from "@huggingface/jinja";
import type { Render } from "./chat.ts";

export const render: Render = (template, values) => new Template(template).render(values);
