# What the integration tests share above the stack: the calls of the API in one line each, what a problem must look like, season
# files, many requests at the same moment, and a FastCGI client that speaks to a lane without nginx between.
#
# It knows the contract only, and the two places a test may look behind it: the database's rows and the cache's key.
package Battlepass::Client;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Test2::API qw(context);
use Test2::V0 qw(is like hash field etc end T D E);
use Time::HiRes qw(time sleep);

our @EXPORT = qw(
    api await_cache await_season batch burst cache_key fcgi_connect fcgi_read fcgi_record fcgi_request fcgi_params fingerprint
    fresh_key from_cache grant http_connect http_read http_text is_problem iso_time ledger progress publish_season season_document
    small_season statuses timing
);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# --- the calls ---

my $keys = 0;
sub fresh_key {
    return sprintf 'key-%d-%d-%d', $$, time * 1000, ++$keys;
}

# Like Battlepass::Stack's request, over one kept connection a process and in one write: HTTP::Tiny sends the head and the body
# apart, which costs 40 ms a call (Nagle waits for a delayed ACK).
my %kept; # sockets, by process and stack
sub api {
    my ($s, $method, $path, $headers, $body) = @_;
    my %headers = %$headers;
    if (defined $body) {
        $body = $json->encode($body) if ref $body;
        $headers{'Content-Type'} //= 'application/json';
    }
    local $SIG{PIPE} = 'IGNORE';
    my $name = "$$ " . $s->url;
    # A connection that nginx closed while it lay idle had no request on it: a fresh one is asked.
    delete $kept{$name} if $kept{$name} && _is_closed($kept{$name});
    my $socket = $kept{$name} //= http_connect($s);
    syswrite $socket, http_text($method, $path, \%headers, $body);
    my $answer = http_read($socket, 60, $method eq 'HEAD');
    delete $kept{$name} if !$answer || ($answer->{headers}{connection} // '') eq 'close';
    return $answer // croak "$method $path: no answer";
}

sub _is_closed {
    my ($socket) = @_;
    vec(my $bits = '', fileno $socket, 1) = 1;
    return select($bits, undef, undef, 0) > 0;
}

# as: [role, subject]; season; headers.
sub progress {
    my ($s, $player, %options) = @_;
    my $season = $options{season} // $s->season;
    return api($s, 'GET', "/v1/seasons/$season/players/$player/progress", { $s->as(@{ $options{as} // ['server'] }), %{ $options{headers} // {} } });
}

# key (undef sends none), as, season, headers; what is left stands in the body, beside amount and source.
sub grant {
    my ($s, $player, $amount, %options) = @_;
    my $season = delete $options{season} // $s->season;
    my $as = delete $options{as} // ['server'];
    my $more = delete $options{headers} // {};
    my $key = exists $options{key} ? delete $options{key} : fresh_key();
    my %headers = ($s->as(@$as), defined $key ? ('Idempotency-Key' => $key) : (), %$more);
    return api($s, 'POST', "/v1/seasons/$season/players/$player/xp-grants", \%headers, { amount => $amount, source => 'match', %options });
}

sub batch {
    my ($s, $grants, %options) = @_;
    my $season = $options{season} // $s->season;
    return api($s, 'POST', "/v1/seasons/$season/xp-grants", { $s->as(@{ $options{as} // ['server'] }) }, { grants => $grants });
}

# Every entry of a player's ledger, by as many pages as it takes; query is what stands beside page_size and cursor.
sub ledger {
    my ($s, $player, %options) = @_;
    my $season = $options{season} // $s->season;
    my $query = join '&', 'page_size=' . ($options{page_size} // 200), $options{query} // ();
    my ($cursor, @items);
    do {
        my $path = "/v1/seasons/$season/players/$player/xp-grants?$query" . (defined $cursor ? "&cursor=$cursor" : '');
        my $answer = api($s, 'GET', $path, { $s->as('server') });
        croak "$path: $answer->{status} $answer->{body}" if $answer->{status} != 200;
        push @items, @{ $answer->{json}{items} };
        $cursor = $answer->{json}{next};
    } while (defined $cursor);
    return \@items;
}

# --- looking at answers ---

sub timing {
    my ($answer) = @_;
    return ($answer->{headers}{'server-timing'} // '') =~ /\bsrc;desc=(\w+)/ ? $1 : undef;
}

sub from_cache {
    my ($answer) = @_;
    return (timing($answer) // '') eq 'cache';
}

# A problem+json as the contract has it. pointer: what one of its errors points at.
sub is_problem {
    my ($answer, $status, $code, $name, %options) = @_;
    my $context = context();
    my $ok = is($answer->{status}, $status, "$name: status $status") ? 1 : 0;
    $ok &= is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: content type") ? 1 : 0;
    $ok &= is($answer->{json}, hash {
        field type => "urn:battlepass:problem:$code";
        field title => T;
        field status => $status;
        field code => $code;
        field detail => T;
        field instance => $answer->{headers}{'x-request-id'};
        etc;
    }, "$name: $code, instance is X-Request-Id") ? 1 : 0;
    if (defined $options{pointer}) {
        my $errors = ref $answer->{json} eq 'HASH' ? $answer->{json}{errors} // [] : [];
        my @found = grep { ($_->{pointer} // '') eq $options{pointer} && $_->{code} && $_->{detail} } @$errors;
        $ok &= is(scalar @found, 1, "$name: one error points at $options{pointer}") ? 1 : 0;
    }
    $context->diag("$name: $answer->{body}") unless $ok;
    $context->release;
    return $ok;
}

# 'granted' => 3, ..: how often each status stands in a batch's results.
sub statuses {
    my ($answer) = @_;
    my %count;
    $count{ $_->{status} }++ for @{ $answer->{json}{results} // [] };
    return \%count;
}

# --- what stands behind the service ---

# Changes when a row of any table with data of players or seasons does.
sub fingerprint {
    my ($s) = @_;
    my $db = $s->{fingerprint_db}{$$} //= $s->db;
    my $tables = 'progress, xp_grant, pass_ownership, claim, season, season_document, season_directory';
    return { map { @$_ } @{ $db->selectall_arrayref("CHECKSUM TABLE $tables") } };
}

sub cache_key {
    my ($s, $player, $season) = @_;
    my ($epoch) = $s->db->selectrow_array('SELECT epoch FROM cache_control');
    return "bp:$epoch:{$player}:" . ($season // $s->season);
}

# Until a read is answered by Redis: after a start it takes a moment until the cache may be trusted.
sub await_cache {
    my ($s, $seconds) = @_;
    my $player = $s->fresh_player;
    return $s->wait_until($seconds // 15, sub { my $answer = progress($s, $player); return $answer->{status} == 200 && from_cache($answer) });
}

# --- seasons ---

sub iso_time {
    my ($seconds) = @_;
    my $ms = int $seconds * 1000 + 0.5;
    return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime int $ms / 1000) . sprintf '.%03dZ', $ms % 1000;
}

# An active season of ten tiers with 100 XP each; any member may be given otherwise.
sub small_season {
    my ($id, %members) = @_;
    my $now = time;
    return {
        season => $id,
        name => { en => "The season $id", de => "Die Saison $id" },
        starts_at => iso_time($now - 86_400),
        purchase_closes_at => iso_time($now + 80_000),
        ends_at => iso_time($now + 90_000),
        claim_until => iso_time($now + 100_000),
        tiers => [ map { { tier => $_, xp => 100 } } 1 .. 10 ],
        passes => [ { pass => 'free', free => JSON::PP::true }, { pass => 'gold', price => { currency => 'gems', amount => 5 } } ],
        rewards => [ map { { reward => "r$_", tier => $_, pass => 'free', kind => 'item', item => "thing-$_", quantity => 1 } } 1 .. 10 ],
        %members,
    };
}

# The text of examples/season.json, decoded.
sub season_document {
    my $root = $ENV{TEST_SRCDIR} // '.';
    open my $in, '<', "$root/examples/season.json" or croak "examples/season.json: $!";
    local $/ = undef;
    return $json->decode(scalar <$in>);
}

# Imports and publishes with battlepassctl; with only => 'import' the draft is all. Returns the season's new revision, which
# counts at once, unless in => SECONDS says otherwise.
sub publish_season {
    my ($s, $document, %options) = @_;
    my $file = ($s->{scratch} // $s->dir) . "/$document->{season}.$$.json";
    open my $out, '>', $file or croak "$file: $!";
    print {$out} $json->encode($document);
    close $out or croak "$file: $!";
    my ($status, $text) = $s->ctl('season', 'import', $file);
    unlink $file;
    croak "season import: $text" if $status;
    return 0 if ($options{only} // '') eq 'import';
    ($status, $text) = $s->ctl('season', 'publish', '--in', $options{in} // 0, $document->{season});
    croak "season publish: $text" if $status;
    my ($revision) = $s->db->selectrow_array('SELECT revision FROM season WHERE season_id = ?', undef, $document->{season});
    await_season($s, $document->{season}, $revision);
    return $revision;
}

# Until every process has been seen to know that revision: several in a row, because any of them may answer.
sub await_season {
    my ($s, $season, $revision) = @_;
    my $in_a_row = 0;
    my $seen = $s->wait_until(10, sub {
        my $answer = api($s, 'GET', "/v1/seasons/$season", { $s->as('server') });
        my $knows = $answer->{status} == 200 && $answer->{json}{season_revision} eq $revision;
        $in_a_row = $knows ? $in_a_row + 1 : 0;
        return $in_a_row >= 12;
    });
    croak "season $season never came to revision $revision" unless $seen;
    return;
}

# --- HTTP by hand ---

sub http_connect {
    my ($s) = @_;
    my ($port) = $s->url =~ /:(\d+)$/;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) // croak "connect: $@";
}

sub http_text {
    my ($method, $path, $headers, $body) = @_;
    my %headers = (Host => 'localhost', %$headers);
    $headers{'Content-Length'} //= length $body if defined $body;
    return join '', "$method $path HTTP/1.1\r\n", (map { "$_: $headers{$_}\r\n" } sort keys %headers), "\r\n", $body // '';
}

# One answer from a connection that stays open; undef when the peer closed before it was whole. status, headers, body, json.
sub http_read {
    my ($socket, $seconds, $is_head) = @_;
    my $deadline = time + ($seconds // 10);
    my $pending = \(${*$socket}{battlepass_pending} //= '');
    while (1) {
        if ($$pending =~ /\A(.*?\r\n\r\n)/s) {
            my $head = $1;
            my ($length) = $head =~ /^content-length:\s*(\d+)/mi;
            $length = 0 if !defined $length || $is_head;
            if (length $$pending >= length($head) + $length) {
                my $text = substr $$pending, 0, length($head) + $length, '';
                return _parsed($text);
            }
        }
        _fill($socket, $pending, $deadline) or return undef;
    }
}

sub _fill {
    my ($socket, $pending, $deadline) = @_;
    my $left = $deadline - time;
    return 0 if $left <= 0;
    vec(my $bits = '', fileno $socket, 1) = 1;
    return 0 if select($bits, undef, undef, $left) <= 0;
    return sysread $socket, $$pending, 65_536, length $$pending;
}

sub _parsed {
    my ($text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    $head //= '';
    my ($status) = $head =~ m{\A(?:HTTP/1\.1|Status:) (\d+)};
    my %headers = map { /^([^:]+): ?(.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
    my %answer = (status => $status, headers => \%headers, body => $body // '');
    $answer{json} = eval { $json->decode($body) } if ($headers{'content-type'} // '') =~ /json/;
    return \%answer;
}

# Sends each text (see http_text; with "Connection: close") over a connection of its own, all connections made before the first
# byte is sent. The answers in the same order; undef where there was none.
sub burst {
    my ($s, $texts, $seconds) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my @sockets = map { my $socket = http_connect($s); $socket->blocking(0); $socket } @$texts;
    my (@left, @answers, %number);
    my $poll = IO::Poll->new;
    for my $i (0 .. $#sockets) {
        $left[$i] = $texts->[$i];
        $answers[$i] = '';
        $number{ fileno $sockets[$i] } = $i;
        $poll->mask($sockets[$i] => POLLOUT);
    }
    my $deadline = time + ($seconds // 30);
    while ($poll->handles && time < $deadline) {
        $poll->poll(0.5);
        _advance($poll, $_, $number{ fileno $_ }, \@left, \@answers) for $poll->handles;
    }
    return map { /\r\n\r\n/ ? _parsed($_) : undef } @answers;
}

sub _advance {
    my ($poll, $socket, $i, $left, $answers) = @_;
    my $events = $poll->events($socket) or return;
    if ($events & POLLOUT) {
        my $sent = syswrite $socket, $left->[$i];
        substr $left->[$i], 0, $sent // 0, '';
        $poll->mask($socket => POLLIN) if $left->[$i] eq '' || !defined $sent && !$!{EAGAIN};
    } elsif ($events & (POLLIN | POLLHUP | POLLERR)) {
        my $got = sysread $socket, $answers->[$i], 65_536, length $answers->[$i];
        $poll->remove($socket) if !$got && !(!defined $got && $!{EAGAIN});
    }
    return;
}

# --- FastCGI by hand ---

my %fcgi_type = (BEGIN_REQUEST => 1, ABORT_REQUEST => 2, END_REQUEST => 3, PARAMS => 4, STDIN => 5, STDOUT => 6, STDERR => 7);

sub fcgi_connect {
    my ($s, $lane) = @_;
    my ($path) = $s->env->{REDIS_SOCKET} =~ m{^(.*)/};
    return IO::Socket::UNIX->new(Peer => "$path/$lane.sock") // croak "$lane.sock: $!";
}

sub fcgi_record {
    my ($type, $content, $id) = @_;
    return pack('CCnnCC', 1, $fcgi_type{$type} // $type, $id // 1, length $content, 0, 0) . $content;
}

sub fcgi_params {
    my (%params) = @_;
    my $size = sub { my ($n) = @_; return $n < 128 ? chr $n : pack 'N', $n | 0x8000_0000 };
    return join '', map { $size->(length $_) . $size->(length $params{$_}) . $_ . $params{$_} } sort keys %params;
}

# A whole request as nginx sends it. keep: the connection stays open. id, body.
sub fcgi_request {
    my ($params, %options) = @_;
    my $id = $options{id} // 1;
    my $body = $options{body} // '';
    my $text = fcgi_record(BEGIN_REQUEST => pack('nCx5', 1, $options{keep} ? 1 : 0), $id)
        . fcgi_record(PARAMS => fcgi_params(REQUEST_ID => 'fcgi-test', %$params), $id) . fcgi_record(PARAMS => '', $id);
    for (my $at = 0; $at < length $body; $at += 65_000) {
        $text .= fcgi_record(STDIN => substr($body, $at, 65_000), $id);
    }
    return $text . fcgi_record(STDIN => '', $id);
}

# Records up to END_REQUEST: the answer (see http_read, and id and records), or undef when the peer closed or was silent.
sub fcgi_read {
    my ($socket, $seconds) = @_;
    my $deadline = time + ($seconds // 5);
    my $pending = \(${*$socket}{battlepass_pending} //= '');
    my ($out, $id) = ('', undef);
    while (1) {
        while (length $$pending >= 8) {
            my (undef, $type, $request, $length, $padding) = unpack 'CCnnC', $$pending;
            last if length $$pending < 8 + $length + $padding;
            my $record = substr $$pending, 0, 8 + $length + $padding, '';
            $id //= $request;
            $out .= substr $record, 8, $length if $type == $fcgi_type{STDOUT};
            return _fcgi_answer($out, $id) if $type == $fcgi_type{END_REQUEST};
        }
        _fill($socket, $pending, $deadline) or return undef;
    }
}

sub _fcgi_answer {
    my ($out, $id) = @_;
    my $answer = _parsed($out);
    $answer->{status} //= ($answer->{headers}{status} // '200') =~ /(\d+)/ ? $1 : undef;
    $answer->{id} = $id;
    return $answer;
}

1;
