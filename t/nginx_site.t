#!/usr/bin/perl
# The site of a production host as it is installed: nginx takes it without a word, its TLS is sound, who asks too often gets 429
# and nobody else does, slow clients are cut off, and a front spreads requests over several hosts. Rates stand still here (one
# request a minute), so that what is counted does not depend on how fast the machine is; bursts are those of production.
use Test2::V0;
use lib 't/lib';
use Battlepass::Client qw(http_text is_problem);
use Battlepass::Site;
use Battlepass::Stack;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::SSL;
use JSON::PP ();
use Time::HiRes qw(sleep time);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $scratch = tempdir('battlepass-nginx-site-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $s = Battlepass::Stack->shared;
my $player = '/v1/seasons/' . $s->season . '/players';

use constant {
    PLAYER_BURST => 40,
    ADDRESS_BURST => 600,
    UNDER_WAY => 8, # in place of 200
    CUT_AFTER => 60, # seconds; 10 it should be
};

# --- the files ---

my $tls = Battlepass::Site::certificate($scratch, 'localhost', '-addext', 'subjectAltName=DNS:localhost,DNS:battlepass.example.com',
    '-addext', 'basicConstraints=critical,CA:FALSE');
my ($port, $operators_port, $front_port, $dead_port, $plain_port) = Battlepass::Site::free_ports(5);
my $has_ipv6 = -e '/proc/net/if_inet6' && Battlepass::Site::slurp('/proc/net/if_inet6') =~ /\blo$/m;

my %installed = map { $_ => "$build/nginx/$_" } qw(http.conf site.conf);
# Another address for this one; IPv6 where the machine has it.
sub listens {
    my ($name, $before, $after) = @_;
    return ([ $name, qr/listen $before\b/, "listen 127.0.0.1:$after" ],
        [ $name, qr/listen \[::\]:$before\b/, $has_ipv6 ? "listen [::1]:$after" : "# listen $after" ]);
}
sub certified {
    my ($pair) = @_;
    return ([ 'site.conf', qr{"[^"]*/battlepass/tls/fullchain\.pem"}, $pair->{certificate} ],
        [ 'site.conf', qr{"[^"]*/battlepass/tls/privkey\.pem"}, $pair->{key} ]);
}
my @sockets = ([ 'http.conf', qr{/run/battlepass/}, dirname($s->env->{MYSQL_SOCKET}) . '/' ]);
my @addresses = (
    @sockets,
    listens('site.conf', 443, $port),
    [ 'site.conf', qr/listen 127\.0\.0\.1:9180/, "listen 127.0.0.1:$operators_port" ],
);
my @places = (@addresses, certified($tls));
my @frozen = ([ 'snippets/battlepass/rates.conf', qr/rate=\d+r\/s/, 'rate=1r/m' ]);

sub takes {
    my ($site, $name) = @_;
    my ($status, $said) = $site->check;
    is($status, 0, "$name: nginx -t") or diag $said;
    unlike($said, qr/\[(?:warn|error|emerg|alert)\]/, "$name: and no word more");
    return;
}

subtest 'nginx -t' => sub {
    takes(Battlepass::Site->new(files => \%installed, changes => \@places), 'the site');
    my $wrong = Battlepass::Site->new(files => \%installed, changes => [ @places, [ 'site.conf', qr/limits\.conf/, 'nothing.conf' ] ]);
    isnt(($wrong->check)[0], 0, 'and it can fail');
    my %snippets = map { basename($_) => 1 } glob "$source/nginx/snippets/*.conf";
    my $list = Battlepass::Site::slurp("$source/nginx/Makefile.inc");
    is([ sort map { basename($_) } $list =~ m{nginx/snippets/(\S+\.conf)}g ], [ sort keys %snippets ], 'every snippet is installed');
};

# The table of the manual against the files: zone => rate, burst, MB.
subtest 'the manual' => sub {
    my ($rates, $limits, $manual) = map { Battlepass::Site::slurp("$source/$_") } 'nginx/snippets/rates.conf', 'nginx/snippets/limits.conf', 'docs/nginx.md';
    my %burst = $limits =~ /^limit_req zone=(\w+) burst=(\d+) nodelay;$/mg;
    my (%set, %said);
    $set{$1} = { mb => $2, rate => $3, burst => $burst{$1} } while $rates =~ m{^limit_req_zone \S+ zone=(\w+):(\d+)m rate=(\d+)r/s;$}mg;
    $said{$1} = { rate => $2, burst => $3, mb => $4 } while $manual =~ m{^\| `(\w+)` \|[^|]*\|[^|]*\| (\d+)/s \| (\d+) \| (\d+) MB}mg;
    is(scalar keys %set, 4, 'four rates');
    is(\%said, \%set, 'as the manual has them');
    my ($at_once) = $limits =~ /^limit_conn battlepass_under_way (\d+);$/m;
    like($manual, qr/^\| `battlepass_under_way` .*\| $at_once at once \|/m, 'and the requests under way');
};

my $site = Battlepass::Site->new(files => \%installed, changes => [ @places, @frozen,
    [ 'snippets/battlepass/limits.conf', qr/battlepass_under_way 200;/, 'battlepass_under_way ' . UNDER_WAY . ';' ],
    [ 'snippets/battlepass/trusted.conf', qr/\z/, "127.0.0.9 1;\n" ],
]);
$site->start($port);

# --- asking ---

sub say_of { my ($command) = @_; return scalar qx($command) }

our $base = "https://localhost:$port";
my $curl = "curl --silent --ipv4 --max-time 60 --cacert $tls->{certificate}";

# One answer to curl; options as the shell takes them. Each address is one of loopback's: limits of one subtest are no other's.
sub ask {
    my ($address, $path, @options) = @_;
    my ($head, $body) = split /\r\n\r\n/, say_of("$curl --include --interface $address @options '$base$path'"), 2;
    my ($status) = ($head // '') =~ m{\AHTTP/\S+ (\d+)};
    my %headers = map { /^([^:]+): (.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head // '';
    return { status => $status, headers => \%headers, body => $body, json => scalar eval { JSON::PP::decode_json($body) } };
}

# The statuses of many requests over one connection.
sub ask_often {
    my ($count, $address, $path, @options) = @_;
    return split /\n/, say_of("$curl --output /dev/null --write-out '%{http_code}\\n' --interface $address @options '$base$path#[1-$count]'");
}

sub bearer { my ($token) = @_; return "-H 'Authorization: Bearer $token'" }

subtest 'TLS' => sub {
    my $client = sub { say_of("openssl s_client -connect 127.0.0.1:$port -cipher ALL:\@SECLEVEL=0 @_ </dev/null 2>&1"); return $? };
    isnt($client->('-tls1'), 0, 'TLS 1.0 is refused');
    isnt($client->('-tls1_1'), 0, 'TLS 1.1 is refused');
    is($client->('-tls1_2'), 0, 'TLS 1.2 is taken');
    is($client->('-tls1_3'), 0, 'TLS 1.3 is taken');
    is($client->("-tls1_2 -cipher $_"), 0, $_) for qw(ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-CHACHA20-POLY1305);
    isnt($client->("-tls1_2 -cipher $_\@SECLEVEL=0"), 0, "not $_") for qw(ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA384 aNULL);
    is($client->('-tls1_3 -groups X25519'), 0, 'X25519');
    isnt($client->('-tls1_2 -groups sect283k1'), 0, 'no curve that nobody uses');

    is(ask('127.0.0.2', '/livez', "--http2 --write-out '%{http_version}'")->{body} =~ s/.*\}//sr, 2, 'HTTP/2');
    is(ask('127.0.0.2', '/livez', '--http1.1')->{status}, 200, 'HTTP/1.1');
    like(ask('127.0.0.2', '/livez')->{headers}{'strict-transport-security'}, qr/^max-age=[1-9]\d{7}/, 'HSTS');
    like(ask('127.0.0.2', '/nowhere')->{headers}{'strict-transport-security'}, qr/^max-age=/, "HSTS with nginx's own errors");
    is_problem(ask('127.0.0.2', '/metrics'), 404, 'no_such_route', 'no metrics in public');
    like(say_of("curl --silent http://127.0.0.1:$operators_port/metrics"), qr/^battlepass_/m, 'but on loopback');
};

subtest 'what is too large' => sub {
    open my $out, '>', "$scratch/large" or die "large: $!";
    print {$out} 'x' x (1024 * 1024 + 1);
    close $out or die "large: $!";
    my $long = 'x' x 40_000;
    is_problem(ask('127.0.0.2', "$player/me/claims", $_, "--data-binary \@$scratch/large -H Expect:"), 413, 'body_too_large', "$_ body")
        for qw(--http1.1 --http2);
    is_problem(ask('127.0.0.2', '/livez', '--http1.1', "-H 'X-Long: $long'"), 431, 'headers_too_large', 'HTTP/1.1 header');
    # nginx 1.22 ends the whole connection (ENHANCE_YOUR_CALM): there is no answer that could be a problem.
    is(ask('127.0.0.2', '/livez', '--http2', "-H 'X-Long: $long'")->{status}, undef, 'HTTP/2 header: cut off');
};

# --- rates ---

# Of a series that goes over the burst: all before that are taken, and then one is not.
sub runs_out {
    my ($burst, $name, @statuses) = @_;
    my @taken = grep { $_ != 429 } @statuses[ 0 .. $burst ];
    is(scalar @taken, $burst + 1, "$name: a burst of $burst");
    ok(scalar(grep { $_ == 429 } @statuses[ $burst + 1 .. $#statuses ]), "$name: and then no more");
    return;
}

subtest 'a player' => sub {
    my ($first, $second) = map { bearer($s->token(player => $_)) } qw(site-1 site-2);
    my @statuses = ask_often(PLAYER_BURST + 6, '127.0.0.3', "$player/me/progress", $first);
    is($statuses[0], 200, 'is answered');
    runs_out(PLAYER_BURST, 'one token', @statuses);
    my $refused = ask('127.0.0.3', "$player/me/progress", $first);
    is_problem($refused, 429, 'rate_limited', 'too often');
    like($refused->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'Retry-After');
    like($refused->{headers}{'x-request-id'}, qr/^[0-9a-f]{32}$/, 'X-Request-Id');
    is($refused->{headers}{'x-content-type-options'}, 'nosniff', 'and the headers of every answer');
    is(ask('127.0.0.3', "$player/me/progress", $first, "-H 'X-Request-Id: Abc-1'")->{headers}{'x-request-id'}, 'Abc-1', "the client's own id");
    is(ask('127.0.0.3', "$player/me/claims", $first)->{status}, 429, 'on another path, too');
    is(ask('127.0.0.4', "$player/me/progress", $first)->{status}, 429, 'from another address, too');
    is(ask('127.0.0.4', "$player/me/progress", $first =~ s/Bearer /bEARER  /r)->{status}, 429, 'the same token in another spelling');
    is(ask('127.0.0.3', "$player/me/progress", $second)->{status}, 200, 'another player at the same address is answered');
    is(ask('127.0.0.3', '/livez')->{status}, 200, 'and who has no token');
};

subtest 'nobody uses up what is another\'s' => sub {
    my $token = $s->token(player => 'site-3');
    # Signed by nobody: the same claims, which can be guessed.
    my $forged = $token =~ s{[^.]+\z}{'A' x 86}er;
    my @statuses = ask_often(PLAYER_BURST + 6, '127.0.0.5', "$player/me/progress", bearer($forged));
    is($statuses[0], 401, 'a forged token is refused');
    is($statuses[-1], 429, 'and counted');
    is(ask('127.0.0.5', "$player/me/progress", bearer($token))->{status}, 200, 'apart from the true one');
};

subtest 'game servers and operators' => sub {
    my %token = map { $_ => bearer($s->token($_ => "site-$_")) } qw(server viewer);
    my $often = PLAYER_BURST + 20;
    my $grants = '/v1/seasons/' . $s->season . '/xp-grants';
    is([ ask_often($often, '127.0.0.6', $grants, $token{server}, '-X POST') ], [ (415) x $often ], 'grants are not counted with the reads of players');
    is([ ask_often($often, '127.0.0.6', "$player/p-1/xp-grants", $token{server}, '-X POST') ], [ (400) x $often ], 'of one player neither');
    is(ask('127.0.0.6', "$player/p-1/progress", $token{server})->{status}, 200, 'a read after them');
    my @statuses = ask_often($often, '127.0.0.7', '/v1/admin/flags', $token{viewer});
    is($statuses[-1], 429, 'admin calls are counted');
    is(ask('127.0.0.7', "$player/p-1/progress", $token{viewer})->{status}, 200, 'apart from reads');
    is([ ask_often($often, '127.0.0.9', "$player/me/progress", bearer($s->token(player => 'site-4'))) ], [ (200) x $often ], 'a trusted address is not counted');
    is([ ask_often(ADDRESS_BURST + 20, '127.0.0.9', '/livez') ], [ (200) x (ADDRESS_BURST + 20) ], 'whoever asks from there');
};

subtest 'an address' => sub {
    runs_out(ADDRESS_BURST, 'one address', ask_often(ADDRESS_BURST + 6, '127.0.0.8', '/livez'));
    my $refused = ask('127.0.0.8', "$player/me/progress", bearer($s->token(player => 'site-5')));
    is_problem($refused, 429, 'rate_limited', 'whoever asks from there');
    is($refused->{headers}{'retry-after'}, 1, 'Retry-After');
    is(ask('127.0.0.2', '/livez')->{status}, 200, 'another address is answered');
};

# --- slow clients ---

sub connect_from {
    my ($address) = @_;
    return IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => $port, LocalAddr => $address, SSL_verify_mode => SSL_VERIFY_NONE)
        // die "connect: $SSL_ERROR";
}

subtest 'requests under way' => sub {
    my $begun = http_text(POST => "$player/me/claims", { 'Content-Length' => 10 }) . '{';
    my @slow = map { my $socket = connect_from('127.0.0.10'); $socket->print($begun); $socket } 1 .. UNDER_WAY;
    my $refused;
    ok($s->wait_until(20, sub { $refused = ask('127.0.0.10', '/livez'); return $refused->{status} == 429 }), 'no more than so many from an address');
    is_problem($refused, 429, 'rate_limited', 'too many');
    is($refused->{headers}{'retry-after'}, 1, 'Retry-After');
    is(ask('127.0.0.2', '/livez')->{status}, 200, 'another address is answered');
    $_->close for @slow;
    ok($s->wait_until(20, sub { ask('127.0.0.10', '/livez')->{status} == 200 }), 'and this one when they have gone');
};

# What a slow client sends at first, and each second.
my %slow = (
    'without a handshake' => { plain => 1, first => '', then => '' },
    'a header byte a second' => { first => "GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ", then => 'x' },
    'a body that does not come' => { first => http_text(POST => "$player/me/claims", { 'Content-Length' => 10 }), then => '' },
);

sub is_closed {
    my ($client) = @_;
    return 0 unless $client->{wire}->can_read(0);
    my $got = sysread $client->{socket}, my $piece, 4096;
    return defined $got ? !$got : !$!{EAGAIN}; # a ticket of TLS is to be read, and is nothing
}

subtest 'slow clients' => sub {
    local $SIG{PIPE} = 'IGNORE';
    for my $client (values %slow) {
        $client->{socket} = $client->{plain}
            ? IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) // die "connect: $@"
            : connect_from('127.0.0.11');
        $client->{socket}->blocking(0);
        $client->{wire} = IO::Select->new($client->{socket});
        syswrite $client->{socket}, $client->{first} if length $client->{first};
    }
    my $deadline = time + CUT_AFTER;
    my %open = %slow;
    while (%open && time < $deadline) {
        sleep 1;
        is(ask('127.0.0.2', '/livez')->{status}, 200, 'others are answered meanwhile') if %open == %slow;
        for my $name (keys %open) {
            syswrite $open{$name}{socket}, $open{$name}{then} if length $open{$name}{then};
            delete $open{$name} if is_closed($open{$name});
        }
    }
    is([ sort keys %open ], [], 'all are cut off');
};

$site->stop;

# --- OCSP ---

subtest 'OCSP' => sub {
    my ($ocsp_port) = Battlepass::Site::free_ports(1);
    my $authority = Battlepass::Site::certificate($scratch, 'authority', '-addext', 'basicConstraints=critical,CA:TRUE');
    my $leaf = Battlepass::Site::certificate($scratch, 'leaf', '-CA', $authority->{certificate}, '-CAkey', $authority->{key},
        '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', "authorityInfoAccess=OCSP;URI:http://127.0.0.1:$ocsp_port");
    my ($serial) = say_of("openssl x509 -noout -serial -in $leaf->{certificate}") =~ /=(\w+)/;
    open my $index, '>', "$scratch/index.txt" or die "index: $!";
    print {$index} "V\t491231235959Z\t\t$serial\tunknown\t/CN=leaf\n";
    close $index or die "index: $!";
    my $responder = Battlepass::Site::launch("$scratch/ocsp.log", qw(openssl ocsp -ndays 1 -index), "$scratch/index.txt", '-port', $ocsp_port,
        '-CA', $authority->{certificate}, '-rsigner', $authority->{certificate}, '-rkey', $authority->{key});
    my $stapling = Battlepass::Site->new(files => \%installed, changes => [ @addresses, certified($leaf),
        [ 'site.conf', qr{# (include snippets/battlepass/stapling\.conf;)}, 'include snippets/battlepass/stapling.conf;' ],
        [ 'snippets/battlepass/stapling.conf', qr{/etc/battlepass/tls/fullchain\.pem}, $authority->{certificate} ],
    ]);
    takes($stapling, 'with stapling');
    $stapling->start($port);
    # The first client is not made to wait for the authority.
    ok($s->wait_until(30, sub { say_of("openssl s_client -connect 127.0.0.1:$port -status </dev/null 2>&1") =~ /OCSP Response Status: successful/ }),
        'the answer of the authority comes with the certificate') or diag $stapling->log;
    $stapling->stop;
    Battlepass::Site::end($responder);
};

# --- several hosts, and port 80 ---

# The public certificate is self-signed here, and so its own authority.
my %front_files = ('http.conf' => $installed{'http.conf'}, 'site.conf' => "$source/examples/nginx/several-hosts.conf");
my @front_places = (
    @sockets,
    listens('site.conf', 443, $front_port),
    [ 'site.conf', qr{/etc/battlepass/tls/fullchain\.pem}, $tls->{certificate} ],
    [ 'site.conf', qr{/etc/battlepass/tls/privkey\.pem}, $tls->{key} ],
    [ 'site.conf', qr{/etc/battlepass/tls/hosts-ca\.pem}, $tls->{certificate} ],
    # One that answers, and one that is dead.
    [ 'site.conf', qr/192\.0\.2\.11:443/, "127.0.0.1:$port" ],
    [ 'site.conf', qr/192\.0\.2\.12:443/, "127.0.0.1:$dead_port" ],
    @frozen,
);

subtest 'several hosts' => sub {
    # The application host: as above, but it believes the front, which counts.
    my $host = Battlepass::Site->new(files => \%installed, changes => [ @places,
        [ 'site.conf', qr/limits\.conf/, 'behind-front.conf' ],
        [ 'snippets/battlepass/behind-front.conf', qr/192\.0\.2\.10/, '127.0.0.1' ],
        [ 'snippets/battlepass/public.conf', qr/access_log off/, "access_log seen.log seen" ],
        [ 'http.conf', qr/\A/, "log_format seen '\$remote_addr \$request_method \$battlepass_request_id \$status';\n" ],
    ]);
    takes($host, 'an application host');
    $host->start($port);
    my $front = Battlepass::Site->new(files => \%front_files, changes => \@front_places);
    takes($front, 'the front');
    $front->start($front_port);
    local $base = "https://localhost:$front_port";

    my $token = bearer($s->token(player => 'front-1'));
    is([ ask_often(20, '127.0.0.12', "$player/me/progress", $token) ], [ (200) x 20 ], 'reads are answered, though every other host is dead');
    my $answer = ask('127.0.0.12', "$player/me/progress", $token, "-H 'X-Request-Id: front-id'");
    is($answer->{headers}{'x-request-id'}, 'front-id', 'X-Request-Id comes back');
    my $has_seen = sub { my ($line) = @_; return $s->wait_until(20, sub { $host->seen =~ $line }) }; # a line follows the answer
    ok($has_seen->(qr/^127\.0\.0\.12 GET front-id 200$/m), 'and the host knows it, and who asks');
    ask('127.0.0.13', "$player/me/progress", $token, "-H 'X-Forwarded-For: 127.0.0.99' -H 'X-Request-Id: liar'");
    ok($has_seen->(qr/^127\.0\.0\.13 GET liar /m), 'whatever he says of himself');
    is(scalar(() = say_of("$curl --include '$base/livez'") =~ /^strict-transport-security:/mgi), 1, 'HSTS once');

    my $grant = sub {
        my ($key) = @_;
        return ask('127.0.0.12', "$player/front-1/xp-grants", bearer($s->token(server => 'site-front')), "-H 'Idempotency-Key: $key'",
            q(--json '{"amount":5,"source":"match"}'));
    };
    my $key = "front-$$-" . int time;
    is([ map { $grant->("$key-$_")->{status} } 1 .. 6 ], [ (201) x 6 ], 'writes, too, while nothing was sent');
    ok($has_seen->(qr/\A(?:[^\n]* GET [^\n]*\n)*(?:[^\n]* POST [^\n]*\n){6}\z/), 'each once');
    my @statuses = ask_often(PLAYER_BURST + 40, '127.0.0.14', "$player/me/progress", $token);
    is($statuses[-1], 429, 'the front counts');

    $host->stop;
    $answer = ask('127.0.0.15', '/livez');
    is_problem($answer, 503, 'overloaded', 'no host');
    is($answer->{headers}{'retry-after'}, 1, 'Retry-After');
    $front->stop;
};

# The IPv6 networks: the front's own way to say who asks makes any address possible.
subtest 'a network of IPv6' => sub {
    my $host = Battlepass::Site->new(files => \%installed, changes => [ @places, @frozen,
        [ 'site.conf', qr/include (\S*)limits\.conf;/, "include snippets/battlepass/behind-front.conf;\n\tinclude snippets/battlepass/limits.conf;" ],
        [ 'snippets/battlepass/behind-front.conf', qr/192\.0\.2\.10/, '127.0.0.1' ],
    ])->start($port);
    my $from = sub { my ($address) = @_; return "-H 'X-Forwarded-For: $address'" };
    runs_out(ADDRESS_BURST, 'one of its addresses', ask_often(ADDRESS_BURST + 6, '127.0.0.1', '/livez', $from->('2001:db8::1')));
    is(ask('127.0.0.1', '/livez', $from->('2001:db8::2:0:0:1'))->{status}, 429, 'another of the same /64');
    is(ask('127.0.0.1', '/livez', $from->('2001:db8:0:1::1'))->{status}, 200, 'the next /64');
    $host->stop;
};

subtest 'port 80' => sub {
    my $plain = Battlepass::Site->new(
        files => { 'http.conf' => $installed{'http.conf'}, 'site.conf' => "$source/examples/nginx/plain-http.conf" },
        changes => [ @sockets, listens('site.conf', 80, $plain_port), [ 'site.conf', qr{/var/lib/battlepass-acme}, "$scratch/acme" ] ],
    );
    takes($plain, 'plain HTTP');
    mkdir "$scratch/$_" or die "$_: $!" for qw(acme acme/.well-known acme/.well-known/acme-challenge);
    chmod 0755, $scratch;
    open my $out, '>', "$scratch/acme/.well-known/acme-challenge/token-1" or die "token-1: $!";
    print {$out} 'proof';
    close $out or die "token-1: $!";
    $plain->start($plain_port);
    local $base = "http://localhost:$plain_port";
    my $refused = ask('127.0.0.2', '/v1/seasons', bearer($s->token(player => 'plain-1')));
    is_problem($refused, 421, 'misdirected_request', 'refused');
    is($refused->{headers}{location}, undef, 'and not redirected');
    is(ask('127.0.0.2', '/.well-known/acme-challenge/token-1')->{body}, 'proof', 'what an authority asks for');
    is_problem(ask('127.0.0.2', '/.well-known/acme-challenge/token-2'), 404, 'no_such_route', 'and what it does not');
    $plain->stop;
};

done_testing;
