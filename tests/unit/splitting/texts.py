"""Texts in every script, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

#: Sentences and scraps that cutting at the wrong place would break.
PIECES = [
    "The tower was built in 1904. ",
    "Dr. J. R. Berg wrote it, e.g. in Fig. 3, for 3.5 million. ",
    "Is it? Yes! ",
    "“Quoted.” (Bracketed.) ",
    "Der Bär aß Öl. Ça va? ¿Qué tal? ",
    "Он построил мост. Это правда. ",
    "בנה את המגדל. זה גבוה. ",
    "من بنى البرج؟ بناه المهندس۔ ",
    "\u202eright to left override\u202c ",
    "塔は1904年に建てられた。鉄でできている！",
    "这座塔建于一九〇四年。它是铁做的。",
    "หอคอยสร้างขึ้นในปีหนึ่งพันเก้าร้อยสี่",
    "यह मीनार लोहे की है। यह ऊँची है। ",
    "탑은 1904년에 지어졌다. 높다. ",
    "👩‍👩‍👧‍👦 family. 🏳️‍🌈🇩🇪 ",
    "e\u0301a\u0308o\u0302 combined. n\u0303\u0327 ",
    "ﬁne ligature. ",
    "\r\n\r\n",
    "\n\n",
    "\n",
    "\t",
    "\u00a0",
    "\u3000",
    "\u200b",
    "\x00",
    "........",
    "A" * 130,
    "",
]

any_text = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=40).map("".join)
