// The studio's page.
import { mount } from "svelte";
import "../page/style.css";
import "./style.css";
import App from "./App.svelte";

mount(App, { target: document.getElementById("app")! });
