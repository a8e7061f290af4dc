/* battlepassctl key generate and token: for development and tests. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/mint.h"
#include "base/clock.h"
#include "base/file.h"
#include "ctl/ctl.h"

enum { KEY_FILE_MAX = 65536, TTL_DEFAULT_S = 86400, TTL_MAX_S = 10 * 366 * 86400, TTL_WRONG = TTL_MAX_S + 1 };

static int
write_file(const char *path, mode_t mode, struct str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return ctl_fail("%s: %s", path, strerror(errno));
	ssize_t written = write(fd, text.ptr, text.len);

	if (close(fd) != 0 || written != (ssize_t)text.len)
		return ctl_fail("%s: %s", path, strerror(errno));
	return EXIT_SUCCESS;
}

int
ctl_key_generate(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {{"private", required_argument, NULL, 'p'},
						     {"set", required_argument, NULL, 's'},
						     {"algorithm", required_argument, NULL, 'a'},
						     {NULL, 0, NULL, 0}};
	const char *private_file = NULL;
	const char *set_file = NULL;
	const char *algorithm = "ES256";
	struct buf private_jwk;
	struct buf set;
	int option;

	(void)ctl;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'p')
			private_file = optarg;
		else if (option == 's')
			set_file = optarg;
		else if (option == 'a')
			algorithm = optarg;
		else
			return EXIT_FAILURE;
	}
	if (!private_file || !set_file || optind != argc)
		return ctl_fail("key generate: expected --private FILE --set FILE [--algorithm ES256]");
	buf_init(&private_jwk);
	buf_init(&set);
	if (mint_key(algorithm, &private_jwk, &set) != ERR_OK)
		return ctl_fail("key generate: cannot make a key of algorithm \"%s\"", algorithm);

	int status = write_file(private_file, 0600, buf_view(&private_jwk));

	if (status == EXIT_SUCCESS) {
		status = write_file(set_file, strcmp(algorithm, "HS256") == 0 ? 0600 : 0644, buf_view(&set));
		if (status != EXIT_SUCCESS)
			unlink(private_file);
	}
	buf_release(&private_jwk);
	buf_release(&set);
	return status;
}

static int
print_token(struct minter *minter, struct token_claims *claims, struct str subject)
{
	struct buf token;

	claims->subject = subject;
	buf_init(&token);
	if (mint_token(minter, claims, &token) != ERR_OK) {
		buf_release(&token);
		return ctl_fail("token: \"%.*s\" cannot be the subject of a token of role %s", STR_ARGS(subject),
				role_name(claims->role));
	}
	puts(buf_text(&token));
	buf_release(&token);
	return EXIT_SUCCESS;
}

/* One token, or with the subject "-" one for each line of stdin. */
static int
print_tokens(struct minter *minter, struct token_claims *claims, const char *subject)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int status = EXIT_SUCCESS;

	if (strcmp(subject, "-") != 0)
		return print_token(minter, claims, str_from(subject));
	while (status == EXIT_SUCCESS && (length = getline(&line, &size, stdin)) > 0) {
		if (line[length - 1] == '\n')
			length--;
		status = print_token(minter, claims, (struct str){line, (size_t)length});
	}
	free(line);
	return status;
}

struct token_options {
	const char *key_file;
	const char *role;
	const char *subject;
	long ttl_s;
};

static long
parse_ttl(const char *text)
{
	char *end;
	long ttl_s = strtol(text, &end, 10);

	return end == text || *end || ttl_s < -TTL_MAX_S || ttl_s > TTL_MAX_S ? TTL_WRONG : ttl_s;
}

static bool
parse_options(int argc, char **argv, struct token_options *options)
{
	static const struct option long_options[] = {{"key", required_argument, NULL, 'k'},
						     {"role", required_argument, NULL, 'r'},
						     {"sub", required_argument, NULL, 's'},
						     {"ttl", required_argument, NULL, 't'},
						     {NULL, 0, NULL, 0}};
	int option;

	*options = (struct token_options){.ttl_s = TTL_DEFAULT_S};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'k')
			options->key_file = optarg;
		else if (option == 'r')
			options->role = optarg;
		else if (option == 's')
			options->subject = optarg;
		else if (option == 't')
			options->ttl_s = parse_ttl(optarg);
		else
			return false;
	}
	if (options->ttl_s == TTL_WRONG) {
		ctl_fail("token: --ttl: expected a number of seconds, at most %d", TTL_MAX_S);
		return false;
	}
	if (options->key_file && options->role && options->subject && optind == argc)
		return true;
	ctl_fail("token: expected --key FILE --role R --sub S [--ttl SECONDS]");
	return false;
}

int
ctl_token(struct ctl *ctl, int argc, char **argv)
{
	struct token_options options;
	struct minter *minter;
	struct str key;
	char detail[256];

	if (!parse_options(argc, argv, &options) || !ctl_conf(ctl))
		return EXIT_FAILURE;

	enum role role = role_parse(str_from(options.role));

	if (!role)
		return ctl_fail("token: no such role: %s (player, server, viewer, support, designer, admin)",
				options.role);
	if (file_read(options.key_file, KEY_FILE_MAX, &ctl->arena, &key) != ERR_OK)
		return ctl_fail("%s: %s", options.key_file, strerror(errno));
	if (minter_new(key, &minter, detail) != ERR_OK)
		return ctl_fail("%s: %s", options.key_file, detail);

	int64_t now_ms = clock_unix_ms();
	struct token_claims claims = {
		.issuer = ctl->conf->auth.issuer,
		.audience = ctl->conf->auth.audience,
		.role = role,
		.issued_at_ms = now_ms,
		.expires_at_ms = now_ms + options.ttl_s * 1000,
	};
	int status = print_tokens(minter, &claims, options.subject);

	minter_free(minter);
	return status;
}
