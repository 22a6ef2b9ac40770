/**
 * Variants of eSpeak NG's voices, each a vocal tract of its own: whispers, robots and echoes are left out, and of those
 * that sound alike (spectra of the same words within 0.7 of each other, where the median is 2.1) only one is here.
 */
export const VOICES: readonly string[] = (
  'm1 m4 m7 m8 f1 f2 f3 f4 f5 klatt steph Gene iven miguel robert grandma linda belinda Alex Alicia Andrea Andy Annie ' +
  'Denis Hugo Jacky Lee Marco Michael Storm anika announcer antonio boris caleb david ed ian kaukovalta marcelo max ' +
  'mike2 norbert pablo paul quincy sandro shelby travis zac'
).split(' ');

export interface Language {
  readonly name: string;
  /** eSpeak NG's names of its accents; a voice has one of them. */
  readonly accents: readonly string[];
  readonly digits: readonly string[];
}

/** In the order of HD's classes. */
export const LANGUAGES: readonly Language[] = [
  {
    name: 'english',
    accents: ['en-us', 'en', 'en-gb-x-rp', 'en-gb-scotland', 'en-us-nyc'],
    digits: 'zero one two three four five six seven eight nine'.split(' '),
  },
  {
    name: 'german',
    accents: ['de'],
    digits: 'null eins zwei drei vier fünf sechs sieben acht neun'.split(' '),
  },
];
