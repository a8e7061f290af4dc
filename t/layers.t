#!/usr/bin/perl
# The layer rules of HACKING.md, proved on the source: which room may include which, where a vendor's header may stand, what a
# header is. Each rule is then tried on a copy with a violation planted in it: a rule that finds nothing there proves nothing.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $cc = $ENV{CC} // 'gcc';
my $scratch = tempdir('battlepass-layers-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# What each room may include besides itself: a room, or one header of it. "!" takes one away.
my %may_include = (
    '' => [qw(base master config.h)], # main.c
    api => [qw(auth base document domain http service)],
    auth => [qw(base)],
    base => [],
    cache => [qw(base domain service/ports.h)],
    courier => [qw(base cache/shared.h cache/vitals.h domain service store/store.h)],
    ctl => [qw(auth base cache/cache.h cache/vitals.h document domain master/worker.h service store config.h)],
    document => [qw(base domain)],
    domain => [qw(base/err.h)],
    economy => [qw(base service/ports.h)],
    http => [qw(base !base/json.h)],
    lane => [qw(api base http)],
    master => [qw(api auth base cache courier economy lane service steward store)],
    sandbox => [qw(base store/db.h config.h)],
    service => [qw(base domain !base/json.h)],
    steward => [qw(base cache service store)],
    store => [qw(base domain service/ports.h)],
);

# Where a vendor's headers may be included: one file or one folder each. SHA-256 is OpenSSL's too, and not only tokens need it.
my %vendor_place = (
    'fcgi' => [qw(lane/fcgi.c)],
    'hiredis/' => [qw(cache/redis.c)],
    'mysql' => [qw(store/db.c)],
    'mariadb' => [qw(store/db.c)],
    'cjson/' => [qw(base/json.c)],
    'confuse' => [qw(base/conf.c)],
    'cjose/' => [qw(auth/)],
    'openssl/' => [qw(auth/ base/digest.c)],
    'curl/' => [qw(economy/client.c ctl/samples.c)],
    'microhttpd' => [qw(sandbox/server.c)],
    'systemd/' => [qw(master/notify.c)],
);
my $vendor_name = qr/\b(?:redis(?:Context|Reply)|MYSQL(?:_\w+)?|cJSON\w*|FCGX_\w+|FCGI_\w+|CURL\w*|cjose_\w+|cfg_\w+|EVP_\w+)\b/;

# Rooms of plain values: these headers of the system and no others.
my %system_headers = (
    domain => qr/^(?:stdbool|stddef|stdint|string)\.h$/,
    http => qr/^(?:stdbool|stddef|stdint|string)\.h$/,
);
# Whatever the headers say, this is all that the domain may call.
my $domain_calls = qr/^(?:mem(?:cmp|cpy|move|set|chr)|str(?:len|cmp|ncmp|chr|spn|cspn)|season_\w+|progress_\w+|grant_\w+|reward_\w+|claim(?:able|ed)_\w+|purchase_\w+|tiers_\w+|correction_\w+|texts_\w+|id_\w+)$/;

my @text; # [path below src, text without comments, text], of the tree that was read last

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub read_tree {
    my ($root) = @_;
    @text = ();
    find({ no_chdir => 1, wanted => sub {
        return unless /\.[ch]$/;
        my $text = slurp($_);
        (my $code = $text) =~ s{/\*.*?\*/}{ }gs;
        push @text, [substr($_, 1 + length $root), $code, $text];
    } }, $root);
    @text = sort { $a->[0] cmp $b->[0] } @text;
    return;
}

sub room_of {
    my ($path) = @_;
    return $path =~ m{^([^/]+)/} ? $1 : '';
}

sub is_in {
    my ($path, @places) = @_;
    return grep { $path eq $_ || index($path, m{/$} ? $_ : "$_/") == 0 } @places;
}

# --- the rules: each gives back what is wrong, a line a fault ---

my %rules = (
    rooms => sub {
        my @faults;
        for (@text) {
            my ($path, $code) = @$_;
            my $room = room_of($path);
            my $allowed = $may_include{$room} or push(@faults, "$path: room $room is not in the table"), next;
            my @never = map { /^!(.*)/ ? $1 : () } @$allowed;
            for my $included ($code =~ /^\s*#\s*include\s+"([^"]+)"/mg) {
                push @faults, "$path: $room must not include $included"
                    if is_in($included, @never) || !is_in($included, $room eq '' ? () : $room, @$allowed);
            }
        }
        return @faults;
    },
    vendors => sub {
        my @faults;
        for (@text) {
            my ($path, $code) = @$_;
            for my $included ($code =~ /^\s*#\s*include\s+<([^>]+)>/mg) {
                for my $vendor (grep { index($included, $_) == 0 } keys %vendor_place) {
                    push @faults, "$path: <$included> in a header" if $path =~ /\.h$/;
                    push @faults, "$path: <$included> belongs to @{$vendor_place{$vendor}}"
                        unless is_in($path, @{ $vendor_place{$vendor} });
                }
            }
            push @faults, "$path: names $1" if $path =~ /\.h$/ && $code =~ /($vendor_name)/;
        }
        return @faults;
    },
    pure => sub {
        my @faults;
        for (@text) {
            my ($path, $code) = @$_;
            my $allowed = $system_headers{ room_of($path) } or next;
            push @faults, map { /$allowed/ ? () : "$path: <$_>" } $code =~ /^\s*#\s*include\s+<([^>]+)>/mg;
            push @faults, "$path: errno" if $code =~ /\berrno\b/;
        }
        return @faults;
    },
    calls => sub {
        my ($root) = @_;
        my @faults;
        for my $path (grep { m{^domain/.*\.c$} } map { $_->[0] } @text) {
            my $object = "$scratch/object.o";
            system($cc, qw(-std=gnu11 -O1 -fno-stack-protector -U_FORTIFY_SOURCE -fno-builtin-printf -w -c), "-I$root", "$root/$path", '-o', $object) == 0
                or push(@faults, "$path: does not compile"), next;
            push @faults, map { "$path: calls $_" } grep { !/$domain_calls/ } qx(nm -u $object) =~ /\bU (\w+)/g;
        }
        return @faults;
    },
    files => sub {
        my @faults;
        for (@text) {
            my ($path, undef, $text) = @$_;
            push @faults, "$path: does not open with a comment" if $text !~ m{\A/\*};
            next if $path !~ /\.h$/;
            my $guard = 'BP_' . uc $path =~ s{[/.]}{_}gr;
            push @faults, "$path: the include guard is not $guard"
                if $text !~ /\A\/\*.*?\*\/\n#ifndef $guard\n#define $guard\n.*\n#endif\n\z/s;
        }
        return @faults;
    },
    'self-contained headers' => sub {
        my ($root) = @_;
        my @faults;
        for my $path (grep { /\.h$/ } map { $_->[0] } @text) {
            my $errors = qx($cc -std=gnu11 -D_GNU_SOURCE -fsyntax-only -w -I$root -x c $root/$path 2>&1);
            push @faults, "$path: " . ($errors =~ /(error: .*)/ ? $1 : $errors) if $?;
        }
        return @faults;
    },
);

read_tree("$source/src");
ok(@text > 50, 'the source is there');
is([$rules{$_}->("$source/src")], [], $_) for sort keys %rules;

# Symbols that a program has.
sub has_symbol {
    my ($program, $symbol) = @_;
    return scalar grep { /\b\Q$symbol\E$/ } split /\n/, qx(nm $program 2>/dev/null);
}
ok(has_symbol("$build/battlepassctl", 'mint_token'), 'battlepassctl can make tokens');
ok(has_symbol("$build/battlepassd", 'token_verify'), 'the daemon can check tokens');
ok(!has_symbol("$build/battlepassd", 'mint_token'), 'and can make none');

# --- can the rules fail? ---

# Rule, file, what is put behind the text of the file, what must be said. A new file gets a comment in front.
my @plants = (
    ['rooms', 'api/progress.c', '#include "store/store.h"', qr/api must not include store/],
    ['rooms', 'api/grants.c', '#include "cache/cache.h"', qr/api must not include cache/],
    ['rooms', 'api/seasons.c', '#include "economy/economy.h"', qr/api must not include economy/],
    ['rooms', 'service/grants.c', '#include "http/request.h"', qr/service must not include http/],
    ['rooms', 'service/grants.c', '#include "base/json.h"', qr{service must not include base/json}],
    ['rooms', 'service/turn.c', '#include "api/api.h"', qr/service must not include api/],
    ['rooms', 'service/turn.c', '#include "store/store.h"', qr/service must not include store/],
    ['rooms', 'service/turn.c', '#include "cache/lease.h"', qr/service must not include cache/],
    ['rooms', 'domain/season.c', '#include "base/arena.h"', qr{domain must not include base/arena}],
    ['rooms', 'domain/progress.h', '#include "service/ports.h"', qr/domain must not include service/],
    ['rooms', 'cache/cache.c', '#include "service/turn.h"', qr{cache must not include service/turn}],
    ['rooms', 'base/buf.c', '#include "domain/season.h"', qr/base must not include domain/],
    ['rooms', 'main.c', '#include "store/store.h"', qr{must not include store/store}],
    ['rooms', 'attic/old.c', '', qr/room attic is not in the table/],
    ['vendors', 'cache/cache.c', '#include <hiredis/hiredis.h>', qr{belongs to cache/redis.c}],
    ['vendors', 'store/rows.c', '#include <mysql.h>', qr{belongs to store/db.c}],
    ['vendors', 'store/rows.c', '#include <mariadb/mysql.h>', qr{belongs to store/db.c}],
    ['vendors', 'lane/lane.c', '#include <fcgi_stdio.h>', qr{belongs to lane/fcgi.c}],
    ['vendors', 'api/fields.c', '#include <cjson/cJSON.h>', qr{belongs to base/json.c}],
    ['vendors', 'base/file.c', '#include <confuse.h>', qr{belongs to base/conf.c}],
    ['vendors', 'store/ledger.c', '#include <openssl/sha.h>', qr{belongs to auth/}],
    ['vendors', 'api/call.c', '#include <cjose/jws.h>', qr{belongs to auth/}],
    ['vendors', 'api/call.c', '#include <curl/curl.h>', qr{belongs to economy/client.c}],
    ['vendors', 'auth/jwk.h', '#include <cjose/jwk.h>', qr/in a header/],
    (map { ['vendors', 'base/buf.h', "struct planted { $_ *member; };", qr/names \Q$_\E/] }
        qw(redisContext redisReply MYSQL MYSQL_RES cJSON FCGX_Request CURL cjose_jwk_t cfg_t EVP_PKEY)),
    ['pure', 'domain/season.c', '#include <stdlib.h>', qr/<stdlib.h>/],
    ['pure', 'domain/season.c', '#include <time.h>', qr/<time.h>/],
    ['pure', 'domain/progress.c', 'extern int errno;', qr/errno/],
    ['pure', 'http/request.c', '#include <sys/socket.h>', qr{<sys/socket.h>}],
    ['pure', 'http/response.c', '#include <unistd.h>', qr/<unistd.h>/],
    ['calls', 'domain/progress.c', 'void *malloc(unsigned long size); void *planted(void) { return malloc(9); }', qr/calls malloc/],
    ['calls', 'domain/progress.c', 'long time(long *to); long planted(void) { return time(0); }', qr/calls time/],
    ['calls', 'domain/season.c', 'int puts(const char *text); int planted(void) { return puts("x"); }', qr/calls puts/],
    ['files', 'base/str2.c', undef, qr/does not open with a comment/],
    ['files', 'base/str2.h', '', qr/include guard/],
    ['files', 'base/str.h', 'struct behind_the_guard;', qr/include guard/],
    ['self-contained headers', 'service/book.h', 'struct planted { struct nowhere member; };', qr/incomplete type|error/],
    ['self-contained headers', 'base/planted.h', 'int planted(size_t size);', qr/size_t/],
);
my $copy = "$scratch/src";
system('cp', '-r', "$source/src", $copy) == 0 or die "cannot copy the source";
for my $plant (@plants) {
    my ($rule, $path, $more, $said) = @$plant;
    my $file = "$copy/$path";
    my $before = -e $file ? slurp($file) : undef;
    mkdir dirname($file);
    open my $out, '>', $file or die "$file: $!";
    print {$out} $before // (defined $more ? "/* Planted. */\n" : ''), $more // "int planted;", "\n";
    close $out;
    read_tree($copy);
    like(join("\n", $rules{$rule}->($copy)), $said, "planted in $path: " . ($more // 'no comment'));
    if (defined $before) {
        open $out, '>', $file or die "$file: $!";
        print {$out} $before;
        close $out;
    } else {
        unlink $file;
        rmdir dirname($file);
    }
}
read_tree($copy);
is([$rules{$_}->($copy)], [], "and nothing is left of it: $_") for qw(rooms vendors files);

done_testing;
