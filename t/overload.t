#!/usr/bin/perl
# Overload: what a lane cannot answer in time is refused, not begun; work whose client has gone is not begun either. Lanes
# are made slow by stopping their processes (SIGSTOP), and what then waits is counted in answers, in the ledger and in the
# metrics.
use Test2::V0;
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use IO::Select;
use List::Util qw(pairs);
use POSIX ();
use Time::HiRes qw(sleep time);

use constant {
    WITHIN => 1.0,
    LATE_S => 20,
    TOO_LONG => 1.3,
    MANY => 70,    # more than one process answers in a turn
    QUEUE => 1024, # of the store lane, in nginx/http.conf.in
    BATCHES => 300,
    BATCH => 100,
};

my $s = Battlepass::Stack->new(config => join '', "store_lane { processes = 4 }\n", map { "${_}_lane { answer_within_ms = " . WITHIN * 1000 . " }\n" } qw(read store));
my $season = $s->season;
await_cache($s);

# --- lanes that stand still ---

sub lane_pids {
    my ($lane) = @_;
    return grep {
        open my $in, '<', "/proc/$_/comm" or die "/proc/$_/comm: $!";
        <$in> eq "bp-$lane\n";
    } keys %{ $s->workers };
}

sub stands_still {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!";
    return <$in> =~ /^\d+ \(.*\) T/;
}

sub has_not_ended {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return 0;
    return <$in> !~ /^\d+ \(.*\) Z/;
}

sub stop_lane {
    my ($lane) = @_;
    my @pids = lane_pids($lane);
    CORE::kill('STOP', @pids) == @pids or die "STOP: $!";
    # One that has not got so far may still take events that come now, and go on with them later.
    $s->wait_until(5, sub { !grep { !stands_still($_) } @pids }) or die "the $lane lane does not stop";
    return @pids;
}

# Stops the lanes while the code runs; it gets nothing, and its value is returned.
sub while_stopped {
    my ($lanes, $code) = @_;
    my @pids = map { stop_lane($_) } @$lanes;
    my $result = eval { $code->() };
    my $died = $@;
    CORE::kill('CONT', @pids);
    die $died if $died;
    return $result;
}

# --- requests that are under way ---

sub grant_text {
    my ($player, %headers) = @_;
    return http_text('POST', "/v1/seasons/$season/players/$player/xp-grants",
        { $s->as('server'), 'Idempotency-Key' => fresh_key(), 'Content-Type' => 'application/json', %headers },
        '{"amount":7,"source":"match"}');
}

sub read_text {
    my ($player) = @_;
    return http_text('GET', "/v1/seasons/$season/players/$player/progress", { $s->as('server') });
}

# Each on a connection of its own.
sub send_all {
    my (@texts) = @_;
    return map { my $socket = http_connect($s); syswrite $socket, $_; $socket } @texts;
}

sub counted {
    my ($code) = @_;
    my $before = $s->metrics;
    $code->();
    my $after = $s->metrics;
    return map { $after->{"battlepass_requests_${_}_total"} - $before->{"battlepass_requests_${_}_total"} } qw(shed abandoned);
}

sub is_refused {
    my ($answer, $name) = @_;
    is_problem($answer, 503, 'overloaded', $name);
    like($answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$name: Retry-After");
    is($answer->{headers}{'cache-control'}, 'no-store', "$name: Cache-Control");
    return;
}

# --- the tests ---

subtest 'grants that waited too long' => sub {
    my $player = $s->fresh_player;
    my (@late, @fresh);
    my ($shed, $abandoned) = counted(sub {
        while_stopped(['store'], sub {
            @late = send_all(map { grant_text($player, 'X-Request-Id' => "late-$_") } 1 .. MANY);
            sleep TOO_LONG;
            @fresh = send_all(map { grant_text($player) } 1 .. 3);
            return;
        });
        for my $i (1 .. MANY) {
            my $answer = http_read($late[ $i - 1 ]);
            is($answer->{status}, 503, "late $i") if $i > 1;
            is_refused($answer, 'late') if $i == 1;
            is($answer->{json}{instance}, "late-$i", "late $i: its own answer");
        }
        is(http_read($_)->{status}, 201, 'what came in later is served') for @fresh;
    });
    is([$shed, $abandoned], [MANY, 0], 'the metrics');
    is(scalar @{ ledger($s, $player) }, scalar @fresh, 'none of the late grants was made');
    is(grant($s, $player, 7)->{status}, 201, 'and all is well');
};

subtest 'reads that waited too long' => sub {
    my $player = $s->fresh_player;
    my (@late, @fresh);
    progress($s, $player) for 1 .. 2;
    my ($shed, $abandoned) = counted(sub {
        while_stopped(['read'], sub {
            @late = send_all((read_text($player)) x MANY);
            sleep TOO_LONG;
            @fresh = send_all(read_text($player));
            return;
        });
        is_refused(http_read($late[0]), 'late');
        is(http_read($_)->{status}, 503, 'late') for @late[ 1 .. $#late ];
        is(http_read($_)->{status}, 200, 'what came in later is served') for @fresh;
        is(http_read((send_all(read_text($player)))[0])->{status}, 200, 'and all is well');
    });
    is([$shed, $abandoned], [MANY, 0], 'the metrics');
};

subtest 'a request handed on to another lane keeps its first time' => sub {
    my ($both, $one, $grant);
    while_stopped(['store'], sub {
        while_stopped(['read'], sub {
            ($both) = send_all(read_text($s->fresh_player)); # a miss
            sleep WITHIN * 0.7;
            return;
        });
        ($one) = send_all(read_text($s->fresh_player));
        ($grant) = send_all(grant_text($s->fresh_player));
        sleep WITHIN * 0.6;
        return;
    });
    is_refused(http_read($both), 'too long in both lanes together');
    is(http_read($one)->{status}, 200, 'in one of them only');
    is(http_read($grant)->{status}, 201, 'beside it');
};

subtest 'a body that comes slowly has not waited' => sub {
    my $socket = http_connect($s);
    my $text = grant_text($s->fresh_player);
    syswrite $socket, substr $text, 0, -5;
    sleep TOO_LONG;
    syswrite $socket, substr $text, -5;
    is(http_read($socket)->{status}, 201, 'served');
};

subtest 'clients that have gone' => sub {
    my ($player, $other) = map { $s->fresh_player } 1 .. 2;
    my @stay;
    my ($shed, $abandoned) = counted(sub {
        while_stopped(['store'], sub {
            my @go = send_all(map { grant_text($player) } 1 .. MANY);
            @stay = send_all(map { grant_text($other) } 1 .. 3);
            sleep 0.2;
            close $_ for @go;
            sleep 0.2;
            return;
        });
        is(http_read($_)->{status}, 201, 'who stays is served') for @stay;
    });
    is([$shed, $abandoned], [0, MANY], 'the metrics');
    is(ledger($s, $player), [], 'no grant was made for those who went');
    is(scalar @{ ledger($s, $other) }, scalar @stay, 'and one for each who stayed');
};

subtest 'readers that have gone' => sub {
    my $player = $s->fresh_player;
    progress($s, $player) for 1 .. 2;
    my $hits = $s->metrics->{battlepass_cache_hits_total};
    my ($shed, $abandoned) = counted(sub {
        while_stopped(['read'], sub {
            my @go = send_all((read_text($player)) x MANY);
            sleep 0.2;
            close $_ for @go;
            sleep 0.2;
            return;
        });
        is(progress($s, $player)->{status}, 200, 'who comes later is served');
    });
    is([$shed, $abandoned], [0, MANY], 'the metrics');
    is($s->metrics->{battlepass_cache_hits_total} - $hits, 1, 'nothing was looked up for those who went');
};

subtest 'a queue that is full' => sub {
    my $player = $s->fresh_player;
    my ($processes, $each) = (6, 250);
    my @statuses;
    while_stopped(['store'], sub {
        @statuses = $s->in_parallel($processes, sub {
            my @sockets = send_all(map { grant_text($player) } 1 .. $each);
            my $until = time + 3;
            my @refused = grep { defined } map { my $left = $until - time; http_read($_, $left > 0.02 ? $left : 0.02) } @sockets;
            return map { "$_->{status} $_->{json}{code} $_->{headers}{'retry-after'}" } @refused;
        });
        return;
    });
    is(scalar @statuses, $processes * $each - QUEUE, 'what is too much is refused at once, while the lane stands still');
    is([ grep { $_ ne '503 overloaded 1' } @statuses ], [], 'as overloaded');
    is(grant($s, $s->fresh_player, 7)->{status}, 201, 'and all is well');
    is(ledger($s, $player), [], 'nothing was done for those who were refused, and for those who have gone');
};

# What came in before the service began is not late, so it has to have run for longer than that.
subtest 'times that make no sense shed nothing' => sub {
    my $began = $s->metrics->{battlepass_start_time_seconds};
    sleep $began + LATE_S + 1 - time if time < $began + LATE_S + 1;
    my $now = time;
    my %said = (
        'none' => undef, 'empty' => '', 'text' => 'yesterday', 'seconds' => int $now, 'zero' => '0000000000.000', 'negative' => '-000000005.000',
        'to come' => sprintf('%.3f', $now + 3600), 'an hour ago' => sprintf('%.3f', $now - 3600), 'huge' => '9' x 400, 'NUL' => "\0" x 14,
    );
    my $ask = sub {
        my ($lane, $arrived) = @_;
        my $socket = fcgi_connect($s, $lane);
        print {$socket} fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => '/livez', defined $arrived ? (REQUEST_ARRIVED => $arrived) : () });
        $socket->flush;
        return fcgi_read($socket);
    };
    for my $lane ('read', 'store') {
        isnt($ask->($lane, $said{$_})->{status}, 503, "$lane: $_") for sort keys %said;
        is($ask->($lane, sprintf '%.3f', time - LATE_S)->{status}, 503, "$lane: and one that does");
    }
};

# What is asked to end must do so also where requests never stop coming: who reloads a host that is full wants the new keys now.
subtest 'a lane that is never idle' => sub {
    my ($authorization) = map { $_->[1] } grep { $_->[0] eq 'Authorization' } pairs($s->as('server'));
    my $request = sub {
        my $grants = join ',', map { sprintf '{"player":"full-%d","amount":1,"source":"m","idempotency_key":"%s"}', $_, fresh_key() } 1 .. BATCH;
        my $body = qq({"grants":[$grants]});
        return fcgi_request({ REQUEST_METHOD => 'POST', REQUEST_URI => "/v1/seasons/$season/xp-grants", HTTP_AUTHORIZATION => $authorization,
            CONTENT_TYPE => 'application/json', CONTENT_LENGTH => length $body }, body => $body);
    };
    my $master = $s->master_pid;
    my @pids = stop_lane('store');
    my @sockets = map { my $socket = fcgi_connect($s, 'store'); print {$socket} $request->(); $socket->flush; $socket } 1 .. BATCHES;
    CORE::kill('STOP', $master); # nobody takes their place yet
    CORE::kill('CONT', @pids);
    my $begun = $s->wait_until(5, sub { IO::Select->new(@sockets)->can_read(0) });
    CORE::kill('TERM', @pids);
    my $ended = $s->wait_until(20, sub { !grep { has_not_ended($_) } @pids });
    my $answered = () = grep { IO::Select->new($_)->can_read(0) } @sockets;
    CORE::kill('CONT', $master);
    ok($begun, 'it answers');
    ok($ended, 'all of its processes end');
    note("$answered of @{[BATCHES]} answered");
    cmp_ok($answered, '<', BATCHES / 2, 'before they have answered all that there is');
    is([ map { my $answer = fcgi_read($_, 20); $answer ? $answer->{status} : 'none' } @sockets ], [ (200) x BATCHES ], 'their successors answer the rest');
};

done_testing;
