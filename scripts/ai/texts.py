"""Captions for tests and for training small tokenizers: our own phrases in the twenty languages of
the language model, put together at random but the same every time.
"""

import random

PHRASES = {
    "ar": [
        "صباح الخير من شاطئ البحر",
        "أفضل قهوة في المدينة",
        "شكرا لكم على كل هذا الدعم",
        "رحلة لا تنسى مع الأصدقاء",
        "وصفة جديدة على القناة اليوم",
    ],
    "bg": [
        "Добро утро от планината",
        "Най-доброто кафе в града",
        "Благодаря ви за подкрепата",
        "Незабравимо пътуване с приятели",
        "Нова рецепта за вкусна вечеря",
    ],
    "de": [
        "Guten Morgen aus den Bergen",
        "Der beste Kaffee der Stadt, schön heiß",
        "Danke für eure Unterstützung",
        "Eine unvergessliche Reise mit Freunden",
        "Heute gibt es ein neues Rezept für Größeres",
    ],
    "el": [
        "Καλημέρα από τη θάλασσα",
        "Ο καλύτερος καφές της πόλης",
        "Σας ευχαριστώ για την υποστήριξη",
        "Ένα αξέχαστο ταξίδι με φίλους",
        "Νέα συνταγή για το βραδινό",
    ],
    "en": [
        "Good morning from the mountains",
        "The best coffee in town, hands down",
        "Thank you all for the support",
        "I can't believe we're finally here",
        "New recipe is up: link in bio",
        "Not my best day, but we'll get there",
    ],
    "es": [
        "Buenos días desde la montaña",
        "El mejor café de la ciudad",
        "¡Gracias a todos por su apoyo!",
        "Un viaje inolvidable con mis compañeros",
        "¿Quién quiere la receta de mañana?",
    ],
    "fr": [
        "Bonjour depuis la forêt",
        "Le meilleur café de la ville, c'est ici",
        "Merci à tous pour votre soutien",
        "Un voyage inoubliable entre amis",
        "Nouvelle recette d'été à découvrir",
    ],
    "hi": [
        "पहाड़ों से सुप्रभात",
        "शहर की सबसे अच्छी कॉफ़ी",
        "आप सभी के समर्थन के लिए धन्यवाद",
        "दोस्तों के साथ एक यादगार यात्रा",
        "आज की नई रेसिपी देखिए",
    ],
    "it": [
        "Buongiorno dalla montagna",
        "Il miglior caffè della città",
        "Grazie a tutti per il sostegno",
        "Un viaggio indimenticabile con gli amici",
        "Perché no? La ricetta è più facile così",
    ],
    "ja": [
        "山からおはようございます",
        "この町でいちばんおいしいコーヒー",
        "応援ありがとうございます",
        "友だちと忘れられない旅",
        "新しいレシピをアップしました",
    ],
    "nl": [
        "Goedemorgen vanuit de bergen",
        "De beste koffie van de stad",
        "Bedankt voor jullie steun",
        "Een onvergetelijke reis met vrienden",
        "Vandaag een nieuw recept, zó lekker",
    ],
    "pl": [
        "Dzień dobry z gór",
        "Najlepsza kawa w mieście",
        "Dziękuję wszystkim za wsparcie",
        "Niezapomniana podróż z przyjaciółmi",
        "Nowy przepis już dziś, chodźcie",
    ],
    "pt": [
        "Bom dia direto da montanha",
        "O melhor café da cidade",
        "Obrigado a todos pelo apoio",
        "Uma viagem inesquecível com amigos",
        "Não percam a receita de amanhã",
    ],
    "ru": [
        "Доброе утро с гор",
        "Лучший кофе в городе",
        "Спасибо всем за поддержку",
        "Незабываемое путешествие с друзьями",
        "Новый рецепт уже в профиле, ещё вкуснее",
    ],
    "sw": [
        "Habari za asubuhi kutoka milimani",
        "Kahawa bora zaidi mjini",
        "Asanteni nyote kwa msaada wenu",
        "Safari isiyosahaulika na marafiki",
        "Mapishi mapya ya leo jioni",
    ],
    "th": [
        "สวัสดีตอนเช้าจากภูเขา",
        "กาแฟที่อร่อยที่สุดในเมือง",
        "ขอบคุณทุกคนที่สนับสนุน",
        "การเดินทางที่ลืมไม่ลงกับเพื่อน",
        "สูตรใหม่วันนี้",
    ],
    "tr": [
        "Dağlardan günaydın",
        "Şehrin en iyi kahvesi",
        "Desteğiniz için teşekkürler",
        "Arkadaşlarla unutulmaz bir yolculuk",
        "Işıl ışıl bir İstanbul akşamı",
    ],
    "ur": [
        "پہاڑوں سے صبح بخیر",
        "شہر کی سب سے اچھی کافی",
        "آپ سب کے تعاون کا شکریہ",
        "دوستوں کے ساتھ یادگار سفر",
        "آج کی نئی ترکیب دیکھیے",
    ],
    "vi": [
        "Chào buổi sáng từ vùng núi",
        "Cà phê ngon nhất thành phố",
        "Cảm ơn mọi người đã ủng hộ",
        "Chuyến đi khó quên cùng bạn bè",
        "Công thức mới cho bữa tối nay",
    ],
    "zh": [
        "来自山里的早安",
        "全城最好喝的咖啡",
        "谢谢大家的支持",
        "和朋友们难忘的旅行",
        "今天更新一个新菜谱",
    ],
}

# Hashtags run words together, some with digits, capitals or another script.
TAGS = [
    "travel",
    "foodie",
    "OOTD",
    "GymLife",
    "throwbackthursday",
    "100daysofcode",
    "coffeelover",
    "café",
    "été_2024",
    "свет",
    "الحياة",
    "旅行",
    "東京カフェ",
    "ดอกไม้",
    "wanderlust_",
]
EMOJI = [
    "😀",
    "🔥🔥🔥",
    "❤️",
    "👩🏽‍🍳",
    "🇩🇪🇧🇷",
    "☀️",
    "👍🏿",
    "😭😂",
    "👨‍👩‍👧‍👦",
    "✨",
    "1️⃣",
    "™",
    "♥",
]
# Punctuation, numbers, spacing, letters outside everyday use, characters with a compatible form.
ODD = [
    "...",
    "!!!",
    "—",
    "50% off",
    "$1,299.00",
    "3.5km/h",
    "10:30am",
    "@user",
    "@some.one_else",
    "“quoted”",
    "l'été",
    "don't",
    "it's",
    "A/B",
    "C++",
    "x²",
    "½",
    "№ 5",
    "ﬁne",
    "Ｗｉｄｅ",
    "𝓼𝓬𝓻𝓲𝓹𝓽",
    "①②",
    "naïve",
    "Åse",
    "ŁÓDŹ",
    "straße",
    "ǅ",
    "(brackets)",
    "[link]",
    "under_score",
    "soooooo",
    "AbCdEf",
    "e\u0301te\u0301",
    "…",
    "·",
    "|",
    "~",
    "`",
    "\\",
    "^",
    "<3",
    ":-)",
    "¿?",
    "one\ntwo",
    "one\n\nthree",
    "a  b",
]


def captions(count, seed=1):
    """That many captions, all different."""
    pick = random.Random(seed)
    seen = {}
    while len(seen) < count:
        seen[caption(pick)] = None
    return list(seen)


def caption(pick):
    """Sentences of one language, at times of two, with emoji, hashtags and oddities among them."""
    languages = [pick.choice(list(PHRASES))]
    if pick.random() < 0.15:
        languages.append(pick.choice(list(PHRASES)))
    parts = [pick.choice(PHRASES[pick.choice(languages)]) for _ in range(pick.randint(1, 4))]
    parts += [pick.choice(ODD) for _ in range(pick.choice([0, 0, 1, 1, 2]))]
    parts += [pick.choice(EMOJI) for _ in range(pick.choice([0, 1, 1, 2]))]
    pick.shuffle(parts)
    text = parts[0]
    for part in parts[1:]:
        text += pick.choice([" ", " ", ". ", ", ", "! ", ""]) + part
    for _ in range(pick.choice([0, 0, 1, 3, 6])):
        text += " #" + pick.choice(TAGS)
    return text


# What the networks are compared on: hardly anything, one text per language, odd ones, and texts
# that are cut (the second would have been too long for any of the models even uncut).
COMPARED = [
    "a",
    ".",
    "🙂",
    "#travel",
    "@user",
    "12345",
    *[phrases[0] + ". " + phrases[2] for phrases in PHRASES.values()],
    *[
        "Best day ever 👩🏽‍🍳🔥 #foodie #café",
        "😀" * 12,
        "l'été, it's naïve — 50% off!!!",
        "ﬁne Ｗｉｄｅ ½ x²",
        "soooooo AbCdEf under_score",
    ],
    " ".join(phrase for phrases in PHRASES.values() for phrase in phrases[3:5]),
    "Good morning from the mountains, the best coffee in town. " * 60,
]
