/*
 * opening.c - prints a link's opening (wire/mark.h) in hexadecimal, for tests in other languages.
 */
#include <sys/random.h>

#include "wire/mark.h"

int main(void)
{
	uint8_t nonce[NONCE_BYTES], out[OPENING_BYTES];

	if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
		return 1;
	mark_opening(out, nonce);
	for (size_t i = 0; i < sizeof(out); i++)
		printf("%02x", out[i]);
	printf("\n");
	return 0;
}
