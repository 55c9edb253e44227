import { expect, it } from 'vitest';
import { BASE_FILES, SERVER_FILES } from '../../../src/cli/playground/guest-files.ts';
import { PACKAGES, recipeHash } from '../../../src/cli/playground/recipe.ts';

it('names an image by what is in it', () => {
  expect(recipeHash('images a')).toMatch(/^[0-9a-f]{64}$/);
  expect(recipeHash('images a')).toBe(recipeHash('images a'));
  expect(recipeHash('images a')).not.toBe(recipeHash('images b'));
});

it('puts no file and no program of ours into the guest', () => {
  const text = JSON.stringify([BASE_FILES, SERVER_FILES, PACKAGES]);
  expect(text).not.toMatch(/rediacc|renet|rdc/i);
  expect(PACKAGES).not.toContain('nodejs');
});
