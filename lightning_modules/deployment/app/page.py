"""The page: a picture comes in from a file, the clipboard or a camera; tables come out."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from datamodules.errors import DataError
from lightning_modules.deployment.app.predictions import predict_picture
from lightning_modules.deployment.inference_model import InferenceModel

HERE = Path(__file__).parent
TITLE = "Model Diet"
STYLE = (HERE / "style.css").read_text(encoding="utf-8")


def build_page(models: Sequence[InferenceModel]) -> gr.Blocks:
    """A page that asks these models, ready to be launched; it fetches nothing from elsewhere.

    Args:
        models: one or more; their classes may differ.
    """
    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = templates.get_template("predictions.html.jinja")

    def show(path: str | None) -> str:
        if path is None:
            return template.render(predictions=[], waiting=models, mistake=None)
        try:
            return template.render(
                predictions=predict_picture(models, path), waiting=[], mistake=None
            )
        except DataError as error:
            # Where the picture lies on this machine means nothing to who sent it.
            mistake = str(error).replace(path, Path(path).name)
            return template.render(predictions=[], waiting=[], mistake=mistake)

    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"# {TITLE}\nDrop a picture, paste it, or take one with the camera.")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                picture = gr.Image(
                    label="picture",
                    type="filepath",
                    sources=["upload", "webcam", "clipboard"],
                    height=320,
                    buttons=[],
                    webcam_options=gr.WebcamOptions(
                        mirror=False,
                        constraints={"video": {"facingMode": {"ideal": "environment"}}},
                    ),
                )
                # Gradio would decode the file, and answer what is no picture with a traceback.
                picture.preprocess = lambda payload: None if payload is None else payload.path
            with gr.Column(scale=2, min_width=300):
                predictions = gr.HTML(show(None), elem_id="predictions", padding=False)
        picture.change(show, picture, predictions, api_name="predict", show_progress="hidden")
    return page


def launch(page: gr.Blocks, *, host: str, port: int) -> None:
    """Serves the page from now on, beside what the program does; there is no public link.

    Raises:
        OSError: the port is taken.
    """
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        css=STYLE,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        footer_links=[],
        ssr_mode=False,
    )
