"""The HTML pages of all commands: one stylesheet, one skeleton, the same tables; everything escaped by Jinja2.

A page is a template beside the module that fills it; templates in the same folder are named without the package. It
extends ``fer_edge.html/base.html`` and takes tables, bars and pictures from ``fer_edge.html/parts.html``. Pages are
single files without outside resources, and no wider than a phone: what is wide scrolls inside its own box.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fer_edge.errors import MissingDependencyError

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["render", "require_jinja"]


def require_jinja() -> None:
    """Fail before the work that a page would show, not after it.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "jinja2, which writes pages, is not installed; install it with: pip install jinja2"
        ) from error


def render(package: str, template: str, **values: Any) -> Markup:
    """Fill a template.

    Args:
        package: Dotted name of the package that the template lies in, usually ``__package__``.
        template: File name of the template in that package.
        **values: What the template shows. Text is escaped; only :class:`markupsafe.Markup` is taken as HTML.

    Returns:
        The HTML, marked as safe, so that it can be a value of another template.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    require_jinja()
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    class Beside(Environment):
        def join_path(self, template: str, parent: str) -> str:
            return template if "/" in template else f"{parent.partition('/')[0]}/{template}"

    environment = Beside(
        loader=FunctionLoader(_template_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The template's text is ours and its values were escaped.
    return Markup(environment.get_template(f"{package}/{template}").render(**values))


def _template_text(name: str) -> str | None:
    """Text of ``package/file``; None for a file that is not there, as Jinja2 expects."""
    package, _, file = name.partition("/")
    resource = files(package).joinpath(file)
    return resource.read_text(encoding="utf-8") if resource.is_file() else None
