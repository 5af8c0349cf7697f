"""Encodings from before UTF-8, by the language that is written in them; and those that a user names."""

# ruff: noqa: E501 (exports and texts stand as they are)
from __future__ import annotations

from pathlib import Path

import pytest

from homespun.errors import TextUnreadable, UsageError
from homespun.text.blob import memory_blob
from homespun.text.decode import decoded
from homespun.text.older import named_encoding
from homespun.text.sources import read
from tests.text.conftest import notes_of, only_text

# language: a text, and the encodings in which such texts were kept
LANGUAGES = {
    "Hungarian": (
        "Az öreg hajós fölállt, és szűk szemmel nézte a tengert. Ősz volt, hűvös, ködös őszi reggel. Tűz mellett ült a nő, aki főzött. A gyerekek az udvaron játszottak, és egyikük sem vette észre, hogy megérkezett a vendég.",
        "cp1250 iso8859-2 cp852",
    ),
    "Croatian": (
        "Stari ribar živio je u maloj kući uz more. Često je šetao obalom i gledao čamce. Đak je učio čitati, a kćer je šila košulju. Navečer su svi zajedno sjedili pred kućom i pričali o prošlim vremenima.",
        "cp1250 iso8859-2 cp852",
    ),
    "Czech": (
        "Starý rybář žil v malém domě u řeky. Často se díval na čluny a říkal, že příští léto odejde. Děti běhaly kolem a křičely. Večer všichni seděli u ohně a vyprávěli si staré příběhy.",
        "cp1250 iso8859-2 cp852",
    ),
    "Polish": (
        "Stary rybak mieszkał w małym domu nad rzeką. Często patrzył na łodzie i mówił, że wyjedzie. Dzieci biegały dookoła i śmiały się głośno. Wieczorem wszyscy siedzieli przy ogniu i opowiadali sobie dawne historie.",
        "cp1250 iso8859-2 cp852",
    ),
    "Romanian": (
        "Bătrânul pescar locuia într-o casă mică. Noaptea cădea încet şi luna răsărea. Fata cânta o doină veche şi toţi ascultau în linişte. Dimineaţa copiii plecau la şcoală pe drumul de lângă pădure.",
        "cp1250 iso8859-2",
    ),
    "Turkish": (
        "Yaşlı balıkçı küçük bir evde yaşıyordu. Işık söndü, ağır ağır yağmur başladı. Çocuğun elinde eski bir kitap vardı. Şehir uyuyordu. Akşam olunca herkes ateşin başında oturup eski hikâyeler anlattı.",
        "cp1254 iso8859-9 cp857",
    ),
    "Lithuanian": (
        "Senas žvejys gyveno mažame name prie upės. Jis dažnai žiūrėjo į laivus ir sakė, kad išvyks. Vaikai bėgiojo aplink ir šaukė. Vakare visi sėdėjo prie ugnies ir pasakojo senas istorijas.",
        "cp1257 iso8859-13 iso8859-4",
    ),
    "Latvian": (
        "Vecais zvejnieks dzīvoja mazā mājā pie upes. Viņš bieži skatījās uz laivām un teica, ka brauks prom. Bērni skraidīja apkārt un kliedza. Vakarā visi sēdēja pie uguns un stāstīja vecus stāstus.",
        "cp1257 iso8859-13",
    ),
    "Estonian": (
        "Vana kalur elas väikeses majas jõe ääres. Ta vaatas tihti paate ja ütles, et sõidab ära. Lapsed jooksid ümberringi ja karjusid. Õhtul istusid kõik tule ääres ja rääkisid vanu lugusid.",
        "cp1257 iso8859-13 iso8859-15",
    ),
    "Greek": (
        "Ο γέρος ψαράς ζούσε σε ένα μικρό σπίτι δίπλα στο ποτάμι. Συχνά κοίταζε τις βάρκες και έλεγε ότι θα φύγει. Τα παιδιά έτρεχαν γύρω και φώναζαν. Το βράδυ κάθονταν όλοι γύρω από τη φωτιά.",
        "cp1253 iso8859-7 cp737",
    ),
    "Russian": (
        "Старый рыбак жил в маленьком доме у реки. Он часто смотрел на лодки и говорил, что уедет. Дети бегали вокруг и кричали. Вечером все сидели у огня и рассказывали старые истории.",
        "cp1251 koi8-r cp866 iso8859-5 mac-cyrillic",
    ),
    "Ukrainian": (
        "Старий рибалка жив у маленькому будинку біля річки. Він часто дивився на човни і казав, що поїде. Діти бігали навколо й кричали. Увечері всі сиділи біля вогню і розповідали давні історії.",
        "cp1251 koi8-u",
    ),
    "Bulgarian": (
        "Старият рибар живееше в малка къща край реката. Той често гледаше лодките и казваше, че ще замине. Децата тичаха наоколо и викаха. Вечерта всички седяха край огъня и разказваха стари истории.",
        "cp1251 iso8859-5",
    ),
    "Serbian": (
        "Стари рибар живео је у малој кући поред реке. Често је гледао чамце и говорио да ће отићи. Деца су трчала около и викала. Увече су сви седели крај ватре и причали старе приче. Ђак је учио.",
        "cp1251 iso8859-5",
    ),
    "German": (
        "Der alte Fischer lebte in einem kleinen Haus am Fluß. Er schaute oft über die Boote und sagte, daß er fortgehen würde. Die Kinder liefen draußen umher und schrien. Abends saßen alle am Feuer und erzählten sich Märchen.",
        "cp1252 iso8859-15 cp850 cp437 mac-roman",
    ),
    "French": (
        "Le vieux pêcheur vivait dans une petite maison près de la rivière. Il regardait souvent les bateaux et disait qu'il partirait. Les enfants couraient autour et criaient. Le soir, ils étaient assis près du feu, là où ça sentait bon.",
        "cp1252 latin-1 mac-roman cp850",
    ),
    "Spanish": (
        "El viejo pescador vivía en una pequeña casa junto al río. Miraba a menudo los barcos y decía que se marcharía mañana. Los niños corrían alrededor y gritaban. Por la noche todos se sentaban junto al fuego. ¿Quién llamó?",
        "cp1252 cp850 mac-roman",
    ),
    "Swedish": (
        "Den gamle fiskaren bodde i ett litet hus vid ån. Han såg ofta på båtarna och sade att han skulle resa bort. Barnen sprang omkring och ropade. På kvällen satt alla vid elden och berättade gamla sagor för varandra.",
        "cp1252 cp850",
    ),
    "Icelandic": (
        "Gamli fiskimaðurinn bjó í litlu húsi við ána. Hann horfði oft á bátana og sagði að hann færi burt. Börnin hlupu í kring og kölluðu. Á kvöldin sátu allir við eldinn og sögðu gamlar sögur um þá sem fóru.",
        "cp1252 latin-1",
    ),
    "Hebrew": (
        "הדייג הזקן גר בבית קטן ליד הנהר. הוא הסתכל לעתים קרובות על הסירות ואמר שייסע. הילדים רצו מסביב וצעקו. בערב ישבו כולם ליד האש וסיפרו סיפורים ישנים.",
        "cp1255 iso8859-8",
    ),
    "Arabic": (
        "عاش الصياد العجوز في بيت صغير بجانب النهر. كان ينظر كثيرا إلى القوارب ويقول إنه سيرحل. كان الأطفال يركضون حوله ويصرخون. وفي المساء جلس الجميع حول النار.",
        "cp1256 iso8859-6",
    ),
    "Thai": (
        "ชาวประมงเฒ่าอาศัยอยู่ในบ้านหลังเล็กริมแม่น้ำ เขามักมองเรือและพูดว่าเขาจะจากไป เด็กๆ วิ่งไปรอบๆ และตะโกน ตอนเย็นทุกคนนั่งข้างกองไฟ",
        "cp874 tis-620",
    ),
    "Japanese": (
        "年老いた漁師は川のそばの小さな家に住んでいた。彼はよく舟を眺めて、いつか出て行くと言った。子供たちはあたりを走り回って叫んだ。夜にはみんなで火のそばに座った。",
        "shift_jis euc_jp iso2022_jp",
    ),
    "Chinese": (
        "老渔夫住在河边的一座小房子里。他常常看着船说他要离开。孩子们跑来跑去大声叫喊。晚上大家都坐在火边讲古老的故事。",
        "gbk gb18030",
    ),
    "Chinese, traditional": (
        "老漁夫住在河邊的一座小房子裡。他常常看著船說他要離開。孩子們跑來跑去大聲叫喊。晚上大家都坐在火邊講古老的故事。",
        "big5",
    ),
    "Korean": (
        "늙은 어부는 강가의 작은 집에 살았다. 그는 자주 배를 바라보며 떠나겠다고 말했다. 아이들은 주위를 뛰어다니며 소리쳤다. 저녁이면 모두 불가에 앉아 옛이야기를 나누었다.",
        "euc_kr cp949",
    ),
}
PAIRS = [(language, encoding) for language, (_, encodings) in LANGUAGES.items() for encoding in encodings.split()]


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_old_encodings_are_told_apart_by_the_language(language: str, encoding: str) -> None:
    text = LANGUAGES[language][0]
    document = decoded(memory_blob("a.txt", "a.txt", text.encode(encoding)))
    assert document.read() == text
    assert any(remark.startswith("guessed ") for remark in document.remarks)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain words and one café", "latin-1"),
        ("She said “no” – it’s 5 €.", "cp1252"),
        ("naïve", "latin-1"),
        ("Grüße aus Köln", "cp1252"),
        ("привет", "cp1251"),
    ],
)
def test_a_letter_or_two_are_western_if_nothing_speaks_against_it(text: str, encoding: str) -> None:
    assert decoded(memory_blob("a.txt", "a.txt", text.encode(encoding))).read() == text


def test_a_guess_is_said_and_another_encoding_can_be_named(tmp_path: Path) -> None:
    text = "Tűz mellett ült a nő, aki főzött. Ősz volt."
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("cp1250"))
    assert "is read as Windows-1250 (Central European), which is a guess; --encoding NAME" in notes_of(path)
    named = read(path, encoding="windows-1252")
    assert next(named.documents()).read() == text.encode("cp1250").decode("cp1252")
    named.survey()
    assert "which is a guess" not in "".join(named.notes)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.html", "a.srt"])
def test_a_named_encoding_counts_in_every_format(tmp_path: Path, name: str) -> None:
    pytest.importorskip("lxml")
    word = "dům řeky"
    content = {
        "a.txt": word,
        "a.jsonl": f'{{"text": "{word}"}}\n',
        "a.csv": f"id,text\n1,{word}\n",
        "a.html": f"<p>{word}</p>",
        "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\n{word}\n",
    }[name]
    (tmp_path / name).write_bytes(content.encode("iso8859-2"))
    [document] = read(tmp_path / name, encoding="latin2").documents()
    assert document.read().strip() == word


def test_utf8_stays_utf8_whatever_is_named_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Łódź", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes("Łódź".encode("cp1250"))
    corpus = read(tmp_path, encoding="cp1250")
    assert [document.read() for document in corpus.documents()] == ["Łódź", "Łódź"]
    corpus.survey()
    assert "a.txt is UTF-8, and is read so although cp1250 was named" in "".join(corpus.notes)


def test_wide_encodings_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("漢".encode("utf-16-le"))
    assert next(read(tmp_path / "a.txt", encoding="utf-16-le").documents()).read() == "漢"


def test_an_encoding_that_there_is_not_is_refused_with_those_that_are_near() -> None:
    assert named_encoding("win1250") == named_encoding("CP-1250".replace("-", "")) == "cp1250"
    for name in ("cp125", "base64", "nonsense", ""):
        with pytest.raises(UsageError, match="no encoding called"):
            named_encoding(name)


def test_nul_bytes_in_a_log_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"2024-01-02 10:00:{i:02} line {i}\n".encode() for i in range(40)]
    (tmp_path / "a.log").write_bytes(b"\0" * 5000 + b"".join(lines[:20]) + b"\0" * 16 + b"".join(lines[20:]))
    assert only_text(tmp_path / "a.log") == b"".join(lines).decode()
    assert "has 5,016 NUL bytes, read without them" in notes_of(tmp_path / "a.log")
    (tmp_path / "b.csv").write_bytes(
        b"id,text\n" + b"".join(b"%d,A hen sat.\n" % i for i in range(30)) + b"\0" * 9
    )
    assert {only.read() for only in read(tmp_path / "b.csv").documents()} == {"A hen sat."}


@pytest.mark.parametrize("content", [b"words\0words\0more", b"\0\1\2\3" * 50, b"a\0b\0c\0\n" * 3])
def test_nul_bytes_between_words_are_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(TextUnreadable):
        read(tmp_path / "a.txt").survey()
