#!/usr/bin/perl
# battlepassctl: seasons from file to force, keys and tokens, and that whatever is wrong is told and changes nothing.
use Test2::V0;
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);
use POSIX ();
use lib 't/lib';
use Battlepass::Stack;

my $s = Battlepass::Stack->new;
my $source = $ENV{TEST_SRCDIR} // '.';
my $scratch = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->utf8->canonical;
my $sample = slurp("$source/examples/season.json");

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return <$in> // '';
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    return $file;
}

# battlepassctl with the stack's configuration: (exit status, standard output, standard error).
sub ctl {
    my (@words) = @_;
    return ctl_with({}, @words);
}

# Options: input, output (a file), umask, bare (no -c).
sub ctl_with {
    my ($options, @words) = @_;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        umask $options->{umask} if defined $options->{umask};
        open STDIN, '<', $options->{input} // '/dev/null' or POSIX::_exit(126);
        open STDOUT, '>', $options->{output} // "$scratch/out" or POSIX::_exit(126);
        open STDERR, '>', "$scratch/err";
        my @conf = $options->{bare} ? () : ('-c', $s->env->{BATTLEPASS_CONF});
        exec $s->env->{BATTLEPASSCTL}, @conf, @words or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    my $status = $? & 127 ? "signal $?" : $? >> 8;
    return ($status, $options->{output} ? '' : slurp("$scratch/out"), slurp("$scratch/err"));
}

# The sample with some members changed, as a file.
my $files = 0;

sub season_file {
    my (%change) = @_;
    my $season = $json->decode($sample);
    @$season{ keys %change } = values %change;
    return spew(sprintf('%s/season-%d.json', $scratch, ++$files), $json->encode($season));
}

# Everything that the database knows of seasons.
sub seasons_kept {
    my $db = $s->db;
    return { map { my $table = $_; ($table => $db->selectall_arrayref("SELECT * FROM $table ORDER BY 1, 2")) }
        qw(season season_document season_directory) };
}

my %never = (
    starts_at => '2040-01-01T00:00:00Z', purchase_closes_at => '2040-02-01T00:00:00Z', ends_at => '2040-03-01T00:00:00Z',
    claim_until => '2040-04-01T00:00:00Z',
);

my $stamp = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;
my @commands = ('migrate', 'season validate', 'season import', 'season publish', 'season show', 'season list', 'key generate', 'token',
    'audit verify', 'player verify', 'top', 'doctor', 'flag', 'cache status', 'cache flush', 'cache warm', 'cache show');

subtest 'the command line' => sub {
    for my $option ('--help', '-h') {
        my ($status, $out, $err) = ctl_with({ bare => 1 }, $option);
        is([$status, $err], [0, ''], $option);
        like($out, qr/^Usage: battlepassctl /, "$option: usage");
        like($out, qr/^  \Q$_\E(?: .*)?\n      \S/m, "$option: $_ with what it does") for @commands;
        is(scalar(() = $out =~ /^  [a-z]/mg), scalar @commands, "$option: and no other");
        like($out, qr/^Exit status: 0 .* 1 .* 2 .*\n(?=.*battlepassctl\(1\))(?=.*battlepass\.conf\(5\))/m, "$option: exit status and manual pages");
        unlike($out, qr/ \n/, "$option: no blank at the end of a line");
    }
    for my $option ('--help', '-h') {
        for my $command (@commands) {
            my ($status, $out, $err) = ctl_with({ bare => 1 }, split(/ /, $command), $option);
            is([$status, $err], [0, ''], "$command $option");
            like($out, qr/^Usage: .*\n  \Q$command\E(?: .*)?\n      \S/, "$command $option: usage");
            my ($arguments) = $out =~ /^  \Q$command\E(.*)$/m;
            is([ $out =~ /^  (--[a-z]+)/mg ], [ $arguments =~ /(--[a-z]+)/g ], "$command $option: each option, and no other");
        }
        my ($status, $out, $err) = ctl_with({ bare => 1 }, 'season', $option);
        is([$status, $err], [0, ''], "season $option");
        is([ $out =~ /^  ([a-z]+ [a-z]+)/mg ], [ grep { /^season/ } @commands ], "season $option: its commands");
    }
    my ($status, $out, $err) = ctl_with({ bare => 1 }, '--version');
    is([$status, $err], [0, ''], '--version');
    like($out, qr/^battlepassctl \d+\.\d+\S*\n\z/, '--version: one line');

    for my $wrong (['frobnicate'], ['season'], ['season', 'frobnicate', 'x'], ['key'], ['key', 'frob'], ['frob', '--help'], ['Migrate'], ['publish', 's1'],
        ['season publish', 's1'])
    {
        ($status, $out, $err) = ctl(@$wrong);
        is([$status, $out], [1, ''], "@$wrong: refused");
        my $words = join ' ', @$wrong > 1 ? @$wrong[0, 1] : @$wrong;
        like($err, qr/^battlepassctl: no such command: \Q$words\E\nUsage: /, "@$wrong: named, and usage");
    }
    ($status, $out, $err) = ctl();
    is([$status, $out], [1, ''], 'no command');
    like($err, qr/^Usage: /, 'no command: usage');
    for my $wrong (['--frob', 'season', 'list'], ['-c']) {
        ($status, $out, $err) = ctl_with({ bare => 1 }, @$wrong);
        is([$status, $out], [1, ''], "@$wrong: refused");
        like($err, qr/^Usage: /m, "@$wrong: usage");
    }
    my @incomplete = (
        ['season', 'validate'], ['season', 'validate', 'a', 'b'], ['season', 'import'], ['season', 'publish'], ['season', 'publish', 'a', 'b'],
        ['season', 'show'], ['season', 'show', 'a', 'b'], ['season', 'show', '--frob', 'a'], ['season', 'list', 'a'], ['migrate', 'a'],
        ['migrate', '--frob'], ['key', 'generate'], ['key', 'generate', '--private', "$scratch/x"], ['key', 'generate', '--set', "$scratch/x"],
        ['token'], ['token', '--role', 'player', '--sub', 'p-1'], ['token', '--key', $s->env->{DEV_KEY}, '--role', 'player'],
    );
    for my $wrong (@incomplete) {
        ($status, $out, $err) = ctl(@$wrong);
        is([$status, $out], [1, ''], "@$wrong: refused");
        like($err, qr/\S/, "@$wrong: told");
    }
    ok(!-e "$scratch/x", 'nothing was written');
    ($status, undef, $err) = ctl_with({ bare => 1 }, '-c', "$scratch/none.conf", 'season', 'list');
    is($status, 1, 'no configuration file');
    like($err, qr{^battlepassctl: \Q$scratch/none.conf\E: No such file}, 'no configuration file: told');
    ($status, undef, $err) = ctl('-o', 'store.frob=1', 'season', 'list');
    is($status, 1, 'a wrong -o');
    like($err, qr/^battlepassctl: override "store\.frob": no such key/, 'a wrong -o: told');
};

subtest 'season validate' => sub {
    my $before = seasons_kept();
    my ($status, $out, $err) = ctl(qw(season validate), "$source/examples/season.json");
    is([$status, $err], [0, ''], 'the sample is good');
    like($out, qr/^season \S+: \d+ tiers, \d+ passes, \d+ rewards: good\n\z/, 'and counted');
    my $season = $json->decode($sample);
    my ($tiers, $passes, $rewards) = $out =~ /(\d+) tiers, (\d+) passes, (\d+) rewards/;
    is([$tiers, $passes, $rewards], [ map { scalar @{ $season->{$_} } } qw(tiers passes rewards) ], 'rightly');
    is((ctl_with({ bare => 1 }, qw(season validate), "$source/examples/season.json"))[0], 0, 'no configuration is needed');

    $season->{tiers}[4]{tier} = 7;
    $season->{rewards}[2]{pass} = 'nobody';
    $season->{rewards}[3]{quantity} = -1;
    $season->{ends_at} = '2020-01-01T00:00:00Z';
    $season->{frob} = 1;
    $season->{passes}[2]{instant_tiers} = -1;
    delete $season->{tiers}[8]{xp};
    $season->{late_window_s} = 'long';
    my $file = spew("$scratch/faults.json", $json->encode($season));
    my @pointers = qw(/tiers/4/tier /rewards/2/pass /rewards/3/quantity /ends_at /frob /passes/2/instant_tiers /tiers/8/xp /late_window_s);
    for my $command (qw(validate import)) {
        ($status, $out, $err) = ctl('season', $command, $file);
        is([$status, $out], [1, ''], "$command: refused");
        my @lines = split /\n/, $err;
        like($err, qr{^\Q$file\E: \Q$_\E: [a-z_]+: .+$}m, "$command: $_ with code and detail") for @pointers;
        my ($count) = pop(@lines) =~ /^\Q$file\E: (\d+) faults$/;
        is($count, scalar @lines, "$command: as many faults as lines");
        ok($count >= @pointers, "$command: all of them ($count)");
    }
    is(seasons_kept(), $before, 'the database is as it was');
};

subtest 'files that are no season' => sub {
    my $before = seasons_kept();
    my @cases = (
        ['invalid UTF-8', spew("$scratch/utf8.json", $sample =~ s/"name": \{"en": "/$&\xff\xfe/r), qr/\(document\): malformed_json: .*UTF-8/],
        ['cut UTF-8', spew("$scratch/cut.json", $sample =~ s/"name": \{"en": "/$&\xf0\x9f\x94/r), qr/\(document\): malformed_json: /],
        ['half a file', spew("$scratch/half.json", substr $sample, 0, length($sample) / 2), qr/\(document\): malformed_json: /],
        ['something behind it', spew("$scratch/two.json", "$sample\n$sample"), qr/\(document\): malformed_json: /],
        ['a name twice', spew("$scratch/twice.json", $sample =~ s/"season":/"season": "s0", "season":/r), qr/\(document\): malformed_json: /],
        ['a NUL', spew("$scratch/nul.json", $sample =~ s/"name": \{"en": "/$&\0/r), qr/\(document\): malformed_json: /],
        ['empty', spew("$scratch/empty.json", ''), qr/\(document\): malformed_json: /],
        ['an array', spew("$scratch/array.json", '[]'), qr/\(document\): \w+: /],
        ['too deep', spew("$scratch/deep.json", '[' x 100 . ']' x 100), qr/\(document\): malformed_json: /],
        ['9 MB', spew("$scratch/large.json", $sample . ' ' x (9 << 20)), qr/File too large$/m],
        ['not there', "$scratch/nowhere.json", qr/No such file or directory$/m],
        ['a folder', $scratch, qr/Is a directory$/m],
    );
    if ($> != 0) {
        chmod 0, spew("$scratch/secret.json", $sample);
        push @cases, ['not ours to read', "$scratch/secret.json", qr/Permission denied$/m];
    }
    for my $case (@cases) {
        my ($name, $file, $pattern) = @$case;
        for my $command (qw(validate import)) {
            my ($status, $out, $err) = ctl('season', $command, $file);
            is([$status, $out], [1, ''], "$command, $name: refused");
            like($err, qr/^(?:battlepassctl: )?\Q$file\E: (?s:.*)$pattern/m, "$command, $name: told");
        }
    }
    is(seasons_kept(), $before, 'the database is as it was');
    my $just = spew("$scratch/just.json", $sample . ' ' x ((8 << 20) - length $sample));
    is((ctl(qw(season validate), $just))[0], 0, '8 MiB is not too large');
};

subtest 'from file to force' => sub {
    my ($status, $out, $err) = ctl(qw(season publish next));
    is([$status, $out], [1, ''], 'publish without a draft');
    like($err, qr/^battlepassctl: season next has no draft to publish$/m, 'told');
    ($status, $out, $err) = ctl(qw(season show next));
    is([$status, $out], [1, ''], 'show of what is not there');
    like($err, qr/^battlepassctl: season next: nothing is published/m, 'told');
    ($status, $out, $err) = ctl(qw(season show next --draft));
    is([$status, $out], [1, ''], 'show --draft of what is not there');
    like($err, qr/^battlepassctl: season next: there is no draft$/m, 'told');

    my $first = season_file(season => 'next', %never);
    my $directory = seasons_kept()->{season_directory};
    ($status, $out, $err) = ctl(qw(season import), $first);
    is([$status, $err], [0, ''], 'import');
    like($out, qr/^season next: draft kept/, 'told');
    is(seasons_kept()->{season_directory}, $directory, 'a draft is nothing that processes must see');
    is((ctl(qw(season show next)))[0], 1, 'it is not in force');
    is((ctl(qw(season show next --draft)))[1], slurp($first), 'the draft is the file');
    like((ctl(qw(season list)))[1], qr/^next\tdraft\trevision 0\t2040-01-01T00:00:00\.000Z to 2040-03-01T00:00:00\.000Z\tdraft waiting$/m, 'listed');

    # Every byte counts: line ends, blanks, escapes, letters from everywhere, and what SQL could take for its own.
    my $odd = slurp(season_file(season => 'next', %never));
    $odd =~ s/"comment":"[^"]*"/"comment" :\r\n\t "\\u00e9 \xc3\xa9 \xf0\x9f\x94\xa5 \\" \\\\ '; DROP TABLE season; -- % _ \\t \xe2\x80\xa8"/ or die 'no comment';
    $odd = " \n$odd \t\r\n\n";
    ($status, $out, $err) = ctl(qw(season import), spew("$scratch/odd.json", $odd));
    is([$status, $err], [0, ''], 'a draft takes the place of the one before');
    is(sha256_hex((ctl(qw(season show --draft next)))[1]), sha256_hex($odd), 'it is kept byte for byte');
    is((ctl(qw(season import), spew("$scratch/bad.json", $odd =~ s/"tiers"/"teirs"/r)))[0], 1, 'a bad one');
    is(sha256_hex((ctl(qw(season show --draft next)))[1]), sha256_hex($odd), 'does not');

    for my $seconds (qw(x 1s 61 -1), '') {
        ($status, $out, $err) = ctl(qw(season publish next --in), $seconds);
        is([$status, $out], [1, ''], "publish in '$seconds'");
        like($err, qr/^battlepassctl: season publish: --in \Q$seconds\E: expected 0 to 60 seconds$/m, 'told');
    }
    ($status, $out, $err) = ctl(qw(season publish next --in 0));
    is([$status, $err], [0, ''], 'publish');
    like($out, qr/^season next: revision 1 is in force from $stamp\n\z/, 'told');
    is(sha256_hex((ctl(qw(season show next)))[1]), sha256_hex($odd), 'in force, byte for byte');
    is((ctl(qw(season show next --draft)))[0], 1, 'and no draft any more');
    is((ctl(qw(season publish next)))[0], 1, 'which cannot be published again');
    like((ctl(qw(season list)))[1], qr/^next\tpublished\trevision 1\t2040-01-01T00:00:00\.000Z to 2040-03-01T00:00:00\.000Z$/m, 'listed');
    isnt(seasons_kept()->{season_directory}, $directory, 'processes are told');

    my $second = season_file(season => 'next', %never, ends_at => '2040-03-05T00:00:00Z');
    is((ctl(qw(season import), $second))[0], 0, 'the next draft');
    is(sha256_hex((ctl(qw(season show next)))[1]), sha256_hex($odd), 'while it waits, the other is in force');
    like((ctl(qw(season list)))[1], qr/^next\tpublished\trevision 1\t.*03-01T00:00:00\.000Z\tdraft waiting$/m, 'and listed');
    ($status, $out, $err) = ctl(qw(season publish next));
    is([$status, $err], [0, ''], 'publish again');
    like($out, qr/^season next: revision 2 is in force from $stamp\n\z/, 'told');
    is((ctl(qw(season show next)))[1], slurp($second), 'it is the last');
    my $from = $out =~ s/.* from //r =~ s/\n//r;
    like((ctl(qw(season list)))[1], qr/^next\tpublished\trevision 1\t.*03-01T00:00:00\.000Z\trevision 2 from \Q$from\E$/m,
        'but not in force yet');

    # Another one right after it waits until it is.
    is((ctl(qw(season import), season_file(season => 'next', %never, ends_at => '2040-03-07T00:00:00Z')))[0], 0, 'a third draft');
    ($status, $out, $err) = ctl(qw(season publish next --in 0));
    is($status, 0, 'published right after it');
    like($err, qr/^season next: revision 2 takes force first, in \d+ ms$/m, 'told');
    my $third_from = $out =~ s/.* from //r =~ s/\n//r;
    ok($third_from gt $from, 'later than the one before') or diag "$third_from, $from";
    like((ctl(qw(season list)))[1], qr/^next\tpublished\trevision 3\t.*03-07T00:00:00\.000Z$/m, 'in force at once');
    is($s->db->selectcol_arrayref("SELECT revision FROM season_document WHERE season_id = 'next' ORDER BY 1"), [1, 2, 3], 'all are kept');
    my %viewer = $s->as(viewer => 'viewer-1');
    my $answer;
    ok($s->wait_until(2, sub { $answer = $s->get('/v1/seasons/next', \%viewer); $answer->{status} == 200 }), 'the service knows it')
        or diag $answer->{body};

    my ($dev_null, undef, $dev_null_err) = ctl_with({ output => '/dev/full' }, qw(season show next));
    isnt($dev_null, 0, 'show to a full disk fails');
    like($dev_null_err, qr/No space left/, 'and says so');
};

subtest 'the database is away' => sub {
    my $no = "store.socket=$scratch/none.sock";
    my $file = season_file(season => 'away', %never);
    for my $words ([qw(season list)], [qw(season show next)], [qw(season publish next)], ['season', 'import', $file], ['migrate', '--sql', "$source/sql"]) {
        my ($status, $out, $err) = ctl('-o', $no, @$words);
        is([$status, $out], [1, ''], "@$words[0, 1]: refused");
        like($err, qr/^battlepassctl: .*none\.sock/m, "@$words[0, 1]: told what cannot be reached");
    }
    is((ctl('-o', $no, qw(season validate), $file))[0], 0, 'validate needs none');
    my ($status, undef, $err) = ctl('-o', 'store.user=nobody', qw(season list));
    is($status, 1, 'a user that the database does not know');
    like($err, qr/^battlepassctl: .*denied/m, 'told');
    ($status, undef, $err) = ctl('-o', 'store.socket=', '-o', 'store.host=127.0.0.1', '-o', 'store.port=1', qw(season list));
    is($status, 1, 'nobody at the port');
    like($err, qr/^battlepassctl: .*127\.0\.0\.1/m, 'told');
};

sub mode {
    my ($file) = @_;
    return sprintf '%04o', (stat $file)[2] & 07777;
}

subtest 'key generate' => sub {
    for my $algorithm (qw(ES256 RS256 PS256 EdDSA HS256)) {
        my ($private, $set) = map { "$scratch/$algorithm-$_.json" } qw(private set);
        my ($status, $out, $err) = ctl_with({ umask => 0 }, qw(key generate --private), $private, '--set', $set, '--algorithm', $algorithm);
        is([$status, $out, $err], [0, '', ''], "$algorithm: made");
        is(mode($private), '0600', "$algorithm: the private key is its owner's");
        is(mode($set), $algorithm eq 'HS256' ? '0600' : '0644', "$algorithm: the set");
        my ($key, $keys) = map { $json->decode(slurp($_)) } $private, $set;
        is($key->{alg}, $algorithm, "$algorithm: alg");
        ok(exists $key->{ $algorithm eq 'HS256' ? 'k' : 'd' }, "$algorithm: it is a private key");
        is($keys->{keys}[0]{kid}, $key->{kid}, "$algorithm: the same kid in both");
        ok(!exists $keys->{keys}[0]{d}, "$algorithm: nothing private in the set");
        my @texts = map { slurp($_) } $private, $set;
        ($status, $out, $err) = ctl(qw(key generate --private), $private, '--set', "$scratch/other.json");
        is($status, 1, "$algorithm: not over a private key");
        like($err, qr{^battlepassctl: \Q$private\E: File exists$}m, "$algorithm: told");
        ok(!-e "$scratch/other.json", "$algorithm: and no set is made");
        ($status, $out, $err) = ctl(qw(key generate --private), "$scratch/other.json", '--set', $set);
        is($status, 1, "$algorithm: not over a set");
        like($err, qr{^battlepassctl: \Q$set\E: File exists$}m, "$algorithm: told");
        ok(!-e "$scratch/other.json", "$algorithm: and no private key is left");
        unlink "$scratch/other.json";
        is([ map { slurp($_) } $private, $set ], \@texts, "$algorithm: both are as they were");
        # A token of it, checked by the daemon's own rules.
        my ($made, $token) = ctl(qw(token --key), $private, qw(--role player --sub p-1));
        is($made, 0, "$algorithm: it signs");
        like($token, qr/^[\w-]+\.[\w-]+\.[\w-]+\n\z/, "$algorithm: a token");
    }
    for my $wrong (['--algorithm', 'none'], ['--algorithm', ''], ['--algorithm', 'es256']) {
        my ($status, $out, $err) = ctl(qw(key generate --private), "$scratch/n1.json", '--set', "$scratch/n2.json", @$wrong);
        is([$status, $out], [1, ''], "@$wrong: refused");
        like($err, qr/cannot make a key of algorithm "\Q$wrong->[1]\E"/, "@$wrong: told");
    }
    my ($status, undef, $err) = ctl(qw(key generate --private), "$scratch/no/where.json", '--set', "$scratch/n2.json");
    is($status, 1, 'a folder that is not there');
    like($err, qr{no/where\.json: No such file}, 'told');
    ok(!-e "$scratch/$_", "$_ was not written") for qw(n1.json n2.json);
};

sub claims_of {
    my ($token) = @_;
    return $json->decode(decode_base64url((split /\./, $token)[1]));
}

subtest 'token' => sub {
    my @key = ('token', '--key', $s->env->{DEV_KEY});
    my %subject = (player => 'p-77', map { $_ => "$_ Nr. 1" } qw(server viewer support designer admin));
    for my $role (sort keys %subject) {
        my ($status, $out, $err) = ctl(@key, '--role', $role, '--sub', $subject{$role});
        is([$status, $err], [0, ''], "$role: made");
        my ($token) = $out =~ /^(\S+)\n\z/;
        my $answer = $s->get('/v1/seasons/' . $s->season . '/players/p-77/progress', { Authorization => "Bearer $token" });
        is($answer->{status}, 200, "$role: accepted by the service");
        my $claims = claims_of($token);
        is([ @$claims{qw(role sub)} ], [$role, $subject{$role}], "$role: role and sub");
        is($claims->{exp} - $claims->{iat}, 86400, "$role: a day");
    }
    my ($status, $token) = ctl(@key, qw(--role player --sub p-1 --ttl 90));
    my $claims = claims_of($token);
    is($claims->{exp} - $claims->{iat}, 90, '--ttl');
    is((ctl('-o', 'auth.issuer=other', '-o', 'auth.audience=there', @key, qw(--role player --sub p-1)))[0], 0, 'other issuer');
    ($status, $token) = ctl('-o', 'auth.issuer=other', '-o', 'auth.audience=there', @key, qw(--role player --sub p-1));
    is([ @{ claims_of($token) }{qw(iss aud)} ], ['other', 'there'], 'issuer and audience are those of the configuration');

    for my $role ('king', '', 'Player', 'player ', 'admin,player') {
        my ($role_status, $out, $err) = ctl(@key, '--role', $role, '--sub', 'p-1');
        is([$role_status, $out], [1, ''], "role \"$role\": refused");
        like($err, qr/^battlepassctl: token: no such role: \Q$role\E \(player, server, viewer, support, designer, admin\)$/m, "role \"$role\": told");
    }
    my %wrong = ('empty' => '', 'a space' => 'p 1', 'a slash' => 'p/1', 'a letter beyond ASCII' => "p\xc3\xa9", 'a line end' => "p\n1", 'too long' => 'p' x 300);
    for my $name (sort keys %wrong) {
        my ($sub_status, $out, $err) = ctl(@key, qw(--role player --sub), $wrong{$name});
        is([$sub_status, $out], [1, ''], "sub with $name: refused");
        like($err, qr/^battlepassctl: token: ".*" cannot be the subject of a token of role player$/ms, "sub with $name: told");
    }
    is((ctl(@key, qw(--role server --sub), "a\nb"))[0], 1, 'no role has a line end in its sub');
    for my $ttl ('soon', '', '10x', '9' x 20) {
        my ($ttl_status, $out, $err) = ctl(@key, qw(--role player --sub p-1 --ttl), $ttl);
        is([$ttl_status, $out], [1, ''], "ttl \"$ttl\": refused");
        like($err, qr/ttl/, "ttl \"$ttl\": told");
    }

    my %bad_key = (
        'not there' => "$scratch/none.json",
        'a public key' => $s->dir . '/keys/set.json',
        'no JSON' => spew("$scratch/rubbish", 'rubbish'),
        'a JWK without alg' => spew("$scratch/noalg.json", $json->encode({ %{ $s->dev_key }, alg => undef })),
    );
    for my $name (sort keys %bad_key) {
        my ($key_status, $out, $err) = ctl('token', '--key', $bad_key{$name}, qw(--role player --sub p-1));
        is([$key_status, $out], [1, ''], "key that is $name: refused");
        like($err, qr/^battlepassctl: \Q$bad_key{$name}\E: \S/m, "key that is $name: told");
    }
};

subtest 'a token a line' => sub {
    my @words = ('token', '--key', $s->env->{DEV_KEY}, qw(--role player --sub -));
    my @names = map { "line-$_" } 1 .. 3000;
    my $input = spew("$scratch/names", join "\n", @names); # the last line has no end
    my ($status, $out, $err) = ctl_with({ input => $input }, @words);
    is([$status, $err], [0, ''], '3000 lines');
    my @tokens = split /\n/, $out;
    is([ map { claims_of($_)->{sub} } @tokens ], \@names, 'a token each, in order');
    my %once = map { $_ => 1 } @tokens;
    is(scalar keys %once, 3000, 'no two alike');
    for my $n (0, 1499, 2999) {
        is($s->get('/v1/seasons/' . $s->season . "/players/me/progress", { Authorization => "Bearer $tokens[$n]" })->{json}{player},
            $names[$n], "$names[$n] is let in as itself");
    }
    ($status, $out) = ctl_with({ input => spew("$scratch/names", '') }, @words);
    is([$status, $out], [0, ''], 'no lines, no tokens');
    for my $bad ('', 'b b', "b\r", "b\0c") {
        ($status, $out, $err) = ctl_with({ input => spew("$scratch/names", "a\n$bad\nc\n") }, @words);
        is($status, 1, 'a line that is no player: refused');
        is([ map { claims_of($_)->{sub} } split /\n/, $out ], ['a'], 'after the tokens before it');
        like($err, qr/cannot be the subject/, 'and told');
    }
    my ($full, undef, $full_err) = ctl_with({ input => spew("$scratch/names", "a\n" x 10), output => '/dev/full' }, @words);
    isnt($full, 0, 'a full disk is a failure');
    like($full_err, qr/No space left/, 'and told');
};

done_testing;
