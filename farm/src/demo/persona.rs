//! The people behind the handles: what they post about, in which colours, where and with whom.

use super::captions::Shelf;

/// A kind of creator.
#[derive(Debug, Clone, Copy)]
pub struct Persona {
    /// A word for it, also the first segment of its pictures' paths.
    pub name: &'static str,
    /// The category shown on the profile.
    pub category: &'static str,
    /// The business category, for business accounts.
    pub business_category: &'static str,
    /// The vendor's upper-case spelling of the category.
    pub category_enum: &'static str,
    /// What such a person would put down as an occupation.
    pub occupation: &'static str,
    /// Colours of the pictures.
    pub palette: [[u8; 3]; 4],
    /// Biographies to choose from.
    pub bios: [&'static str; 3],
    /// What is to be seen in the pictures, as an image recogniser would put it.
    pub sights: [&'static str; 4],
    /// Places posts are tagged with.
    pub places: [&'static str; 4],
    /// Handles they tag, work with and are similar to.
    pub friends: [&'static str; 3],
    /// English captions.
    pub captions: Shelf,
}

/// The persona of that name.
pub fn named(name: &str) -> Option<&'static Persona> {
    PERSONAS.iter().find(|persona| persona.name == name)
}

/// Everyone.
pub static PERSONAS: [Persona; 14] = [
    Persona {
        name: "travel",
        category: "Travel",
        business_category: "Creators & Celebrities",
        category_enum: "DIGITAL_CREATOR",
        occupation: "Travel writer",
        palette: [[28, 92, 134], [242, 160, 84], [246, 214, 163], [18, 44, 72]],
        bios: [
            "Trains over planes 🚂 | slow routes, small towns",
            "37 countries, one backpack\nPostcards every Sunday 📮",
            "Walking the long way round 🌍\nGuides + maps below",
        ],
        sights: [
            "a harbour, boats and mountains",
            "a train window and a valley",
            "a narrow street with laundry",
            "people walking on a ridge at dawn",
        ],
        places: ["Lofoten, Norway", "Porto, Portugal", "Kyoto, Japan", "Chefchaouen, Morocco"],
        friends: ["demo_nightferry", "demo_trailpost", "demo_windowseat"],
        captions: Shelf::english(include_str!("captions/en_travel.txt")),
    },
    Persona {
        name: "food",
        category: "Food & drink",
        business_category: "Food & Personal Goods",
        category_enum: "RESTAURANT",
        occupation: "Cook",
        palette: [[176, 58, 46], [244, 196, 92], [92, 126, 62], [250, 238, 214]],
        bios: [
            "Home cooking without fuss 🍋\nNew recipe every Thursday",
            "Flour on everything 🥖 sourdough, pasta, feelings",
            "Cook, eater, washer of many pans\nBook out now 📖",
        ],
        sights: [
            "pasta, a wooden table and a glass",
            "a loaf of bread on linen",
            "a bowl of soup with herbs",
            "a cake with berries",
        ],
        places: [
            "Bologna, Italy",
            "Mercado Central, Valencia",
            "Copenhagen, Denmark",
            "Borough Market",
        ],
        friends: ["demo_crumbs", "demo_slowstove", "demo_marketday"],
        captions: Shelf::english(include_str!("captions/en_food.txt")),
    },
    Persona {
        name: "fitness",
        category: "Fitness",
        business_category: "Lifestyle Services",
        category_enum: "FITNESS_TRAINER",
        occupation: "Coach",
        palette: [[24, 28, 36], [226, 76, 52], [96, 206, 164], [236, 240, 244]],
        bios: [
            "Strength coach 🏋️ | get strong, stay kind",
            "Run, lift, rest, repeat\n12-week plan ⬇️",
            "Helping busy people move\nNo detox teas, ever 🙅",
        ],
        sights: [
            "a person lifting a barbell",
            "running shoes on a track",
            "a person stretching on a mat",
            "a kettlebell and chalk dust",
        ],
        places: [
            "Tempelhofer Feld, Berlin",
            "Venice Beach, California",
            "Hyde Park, London",
            "Iron Yard Gym",
        ],
        friends: ["demo_ironyard", "demo_longrun", "demo_restday"],
        captions: Shelf::english(include_str!("captions/en_fitness.txt")),
    },
    Persona {
        name: "fashion",
        category: "Fashion",
        business_category: "Clothing & Accessories",
        category_enum: "CLOTHING_BRAND",
        occupation: "Stylist",
        palette: [[34, 30, 34], [206, 178, 158], [150, 40, 66], [240, 234, 228]],
        bios: [
            "Second-hand first 🧥 outfits that last",
            "Stylist | tailoring nerd | M/38",
            "Wardrobe notes from a small flat\nShop my closet ↓",
        ],
        sights: [
            "a person in a long coat",
            "a rack of linen shirts",
            "leather shoes on stairs",
            "a mirror and a striped jacket",
        ],
        places: ["Le Marais, Paris", "Shoreditch, London", "Brera, Milan", "Harajuku, Tokyo"],
        friends: ["demo_secondseam", "demo_hemline", "demo_coatcheck"],
        captions: Shelf::english(include_str!("captions/en_fashion.txt")),
    },
    Persona {
        name: "tech",
        category: "Science & technology",
        business_category: "Science & Technology",
        category_enum: "SCIENCE_TECHNOLOGY",
        occupation: "Engineer",
        palette: [[14, 22, 44], [66, 132, 255], [138, 92, 246], [210, 232, 255]],
        bios: [
            "Gadgets, taken apart and put back 🔧",
            "Honest reviews, bought with my own money",
            "I break keyboards so you don't have to ⌨️",
        ],
        sights: [
            "a laptop and a desk lamp",
            "a circuit board and tweezers",
            "a mechanical keyboard",
            "headphones on a stand",
        ],
        places: ["Taipei, Taiwan", "Eindhoven, Netherlands", "Bengaluru, India", "The Workshop"],
        friends: ["demo_solder", "demo_bytesize", "demo_deskplan"],
        captions: Shelf::english(include_str!("captions/en_tech.txt")),
    },
    Persona {
        name: "beauty",
        category: "Health/beauty",
        business_category: "Personal Goods & General Merchandise Stores",
        category_enum: "BEAUTY_SALON",
        occupation: "Make-up artist",
        palette: [[232, 150, 166], [250, 222, 214], [170, 86, 110], [255, 244, 236]],
        bios: [
            "Skin first, make-up second 💄",
            "MUA for weddings & tired mums ✨ DM to book",
            "Ingredients, explained\nNo filters on this page",
        ],
        sights: [
            "a face, close up",
            "a row of glass bottles",
            "brushes and a compact",
            "a hand with cream",
        ],
        places: ["Seoul, South Korea", "Studio 12", "Lisbon, Portugal", "Mayfair, London"],
        friends: ["demo_bareface", "demo_glossary", "demo_pinkshelf"],
        captions: Shelf::english(include_str!("captions/en_beauty.txt")),
    },
    Persona {
        name: "music",
        category: "Musician/band",
        business_category: "Creators & Celebrities",
        category_enum: "MUSICIAN_BAND",
        occupation: "Musician",
        palette: [[40, 18, 64], [236, 72, 128], [252, 186, 72], [22, 16, 36]],
        bios: [
            "Songs about buses and rain 🎸 | new EP out",
            "Cellist, loop pedal, too many cables",
            "Tour dates ⬇️ bookings by mail pigeon 🕊️",
        ],
        sights: [
            "a stage with purple light",
            "a guitar on a sofa",
            "a crowd with raised hands",
            "a mixing desk",
        ],
        places: [
            "Paradiso, Amsterdam",
            "The Lexington, London",
            "Nashville, Tennessee",
            "Studio B",
        ],
        friends: ["demo_lowtide_band", "demo_loopstation", "demo_backstage"],
        captions: Shelf::english(include_str!("captions/en_music.txt")),
    },
    Persona {
        name: "family",
        category: "Personal blog",
        business_category: "Creators & Celebrities",
        category_enum: "PERSONAL_BLOG",
        occupation: "Parent",
        palette: [[122, 178, 196], [250, 214, 136], [240, 150, 122], [252, 246, 232]],
        bios: [
            "Three kids, one bathroom 🛁",
            "Dad of twins | honest, tired, grateful",
            "Small adventures, big crumbs 👨‍👩‍👧",
        ],
        sights: [
            "children running on grass",
            "a drawing on a fridge",
            "a pushchair and autumn leaves",
            "two people and a baby",
        ],
        places: ["Bristol, United Kingdom", "Utrecht, Netherlands", "The back garden", "Lake Bled"],
        friends: ["demo_twosocks", "demo_crayonwall", "demo_naptime"],
        captions: Shelf::english(include_str!("captions/en_family.txt")),
    },
    Persona {
        name: "art",
        category: "Artist",
        business_category: "Creators & Celebrities",
        category_enum: "ARTIST",
        occupation: "Illustrator",
        palette: [[30, 78, 96], [238, 108, 77], [244, 211, 94], [224, 251, 252]],
        bios: [
            "Gouache & grit 🎨 commissions: open",
            "Linocuts, printed in a kitchen",
            "Drawing one stranger a day since 2019",
        ],
        sights: [
            "a painting on an easel",
            "jars of brushes",
            "ink on paper, hands",
            "a print drying on a line",
        ],
        places: ["Kunsthalle Basel", "Oaxaca, Mexico", "The Print Shed", "Ghent, Belgium"],
        friends: ["demo_inkstain", "demo_linocut", "demo_paperweight"],
        captions: Shelf::english(include_str!("captions/en_art.txt")),
    },
    Persona {
        name: "sport",
        category: "Athlete",
        business_category: "Creators & Celebrities",
        category_enum: "ATHLETE",
        occupation: "Player",
        palette: [[18, 94, 62], [250, 250, 244], [244, 176, 48], [16, 40, 60]],
        bios: [
            "Left back. Late bloomer. ⚽",
            "Rower 🚣 | chasing tenths of a second",
            "Climbing walls, falling off walls",
        ],
        sights: [
            "a football pitch in rain",
            "a person climbing a wall",
            "a boat and eight rowers",
            "a stadium with floodlights",
        ],
        places: ["Stadio Comunale", "Henley-on-Thames", "Fontainebleau, France", "Municipal Track"],
        friends: ["demo_leftback", "demo_chalkhands", "demo_sundayleague"],
        captions: Shelf::english(include_str!("captions/en_sport.txt")),
    },
    Persona {
        name: "business",
        category: "Entrepreneur",
        business_category: "Business & Utility Services",
        category_enum: "ENTREPRENEUR",
        occupation: "Founder",
        palette: [[22, 34, 58], [196, 160, 92], [84, 118, 150], [242, 240, 234]],
        bios: [
            "Built a soap company from a garage 🧼",
            "Helping small shops sell online",
            "Pricing, hiring, mistakes: I post the numbers 📊",
        ],
        sights: [
            "a desk with papers and coffee",
            "boxes ready for shipping",
            "people at a whiteboard",
            "a shop front with plants",
        ],
        places: ["Hamburg, Germany", "Austin, Texas", "Unit 7, Harbour Works", "Nairobi, Kenya"],
        friends: ["demo_soapworks", "demo_shopfloor", "demo_ledgerlines"],
        captions: Shelf::english(include_str!("captions/en_business.txt")),
    },
    Persona {
        name: "gaming",
        category: "Gaming video creator",
        business_category: "Creators & Celebrities",
        category_enum: "GAMING_VIDEO_CREATOR",
        occupation: "Streamer",
        palette: [[18, 12, 34], [52, 232, 190], [190, 60, 240], [250, 240, 90]],
        bios: [
            "Cosy games & terrible aim 🎮 live Tue/Thu",
            "Speedrunner of things nobody runs",
            "Indie demos, long reviews, no hype",
        ],
        sights: [
            "a screen with bright colours",
            "a controller on a desk",
            "two monitors and neon light",
            "a board game with dice",
        ],
        places: ["Gamescom, Cologne", "The Basement", "Akihabara, Tokyo", "Malmö, Sweden"],
        friends: ["demo_pixelpond", "demo_savepoint", "demo_lastboss"],
        captions: Shelf::english(include_str!("captions/en_gaming.txt")),
    },
    Persona {
        name: "pets",
        category: "Pet",
        business_category: "Local Events",
        category_enum: "PET",
        occupation: "Dog person",
        palette: [[148, 110, 76], [246, 220, 178], [110, 154, 110], [70, 56, 48]],
        bios: [
            "Professional good boy 🐶 | 4 yrs | treats accepted",
            "Foster home for old cats 🐈 adopt, don't shop",
            "Two greyhounds and a very small sofa",
        ],
        sights: [
            "a dog on a sofa",
            "a cat in a window",
            "a dog running on a beach",
            "two dogs and a ball",
        ],
        places: ["Whitby Beach", "The sofa", "Tierheim Nord", "Prospect Park"],
        friends: ["demo_muddypaws", "demo_oldcats", "demo_zoomies"],
        captions: Shelf::english(include_str!("captions/en_pets.txt")),
    },
    Persona {
        name: "books",
        category: "Book & magazine",
        business_category: "Publishers",
        category_enum: "BOOKSTORE",
        occupation: "Reader",
        palette: [[92, 52, 40], [222, 196, 150], [52, 82, 82], [246, 238, 222]],
        bios: [
            "Reading in the bath since 1998 📚",
            "Translated fiction, small presses, tea",
            "One honest review a week\nCurrently: a very long Russian",
        ],
        sights: [
            "a stack of books and a mug",
            "an open book on a blanket",
            "a shelf of paperbacks",
            "a person reading by a window",
        ],
        places: [
            "Hay-on-Wye, Wales",
            "Shakespeare Lane Books",
            "Leipzig Book Fair",
            "The quiet carriage",
        ],
        friends: ["demo_dogeared", "demo_marginalia", "demo_longsentence"],
        captions: Shelf::english(include_str!("captions/en_books.txt")),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::demo::handle;

    #[test]
    fn personas_are_distinct_and_their_friends_have_valid_handles() {
        let names: HashSet<_> = PERSONAS.iter().map(|persona| persona.name).collect();
        assert_eq!(names.len(), PERSONAS.len());
        let friends: HashSet<_> = PERSONAS.iter().flat_map(|persona| persona.friends).collect();
        assert_eq!(friends.len(), PERSONAS.len() * 3);
        assert!(friends.iter().all(|friend| handle::valid(friend).as_deref() == Some(*friend)));
        assert!(named("travel").is_some() && named("nobody").is_none());
    }
}
