#!/usr/bin/perl
# The units of systemd: they are well-formed, as tight as promised, each line has its reason, and each lane its socket.
use Test2::V0;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);

my $source = abs_path($ENV{TEST_SRCDIR} // '.');
my $build = abs_path($ENV{TEST_BUILDDIR} // "$source/build");
my $scratch = tempdir(CLEANUP => 1);
my @lanes = qw(read store purchase admin);

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    return;
}

# The units as they are installed, but for a program that is there.
my @units = ('battlepass.service', map { "battlepass-$_.socket" } @lanes);
system('make', '-s', '-C', $build, map { "systemd/$_" } @units) == 0 or bail_out('the units cannot be made');
my %unit = map { $_ => slurp("$build/systemd/$_") =~ s{^(Exec\w+=)\S+/battlepassd}{$1$build/battlepassd}mgr =~ s{^Documentation=.*\n}{}mgr } @units;

sub write_units {
    my (%changed) = @_;
    spew("$scratch/$_", $changed{$_} // $unit{$_}) for @units;
    return;
}

sub verify {
    my $said = `systemd-analyze verify --man=no @{[ map { "$scratch/$_" } @units ]} 2>&1`;
    return $said =~ s/^(?!.*battlepass).*\n//mgr; # other units of this machine are not ours to judge
}

sub exposure {
    my ($overall) = `systemd-analyze security --offline=true $scratch/battlepass.service 2>&1` =~ /Overall exposure level.*: ([\d.]+)/;
    return $overall // 'unknown';
}

sub keys_of {
    my ($text) = @_;
    my ($service) = $text =~ /^\[Service\]\n(.*?)^\[/ms;
    my %keys = map { $_ => 1 } $service =~ /^(\w+)=/mg;
    return sort grep { !/^Exec/ } keys %keys;
}

# What the README has no reason for, and the reasons for what is not there.
sub unexplained {
    my ($text) = @_;
    my %reason = map { $_ => 1 } map { /`(\w+)`/g } grep { /^\| `[A-Z]/ } split /\n/, slurp("$source/systemd/README.md");
    my ($limits) = $text =~ /^\[Unit\]\n(.*?)^\[/ms;
    my %here = map { $_ => 1 } keys_of($text), $limits =~ /^(StartLimit\w+)=/mg;
    return [ sort +(grep { !$reason{$_} } keys %here), (map { "no $_" } grep { !$here{$_} } keys %reason) ];
}

write_units();
is(verify(), '', 'systemd accepts them');
cmp_ok(exposure(), '<=', 1.5, 'exposure of the service: ' . exposure());
is(unexplained($unit{'battlepass.service'}), [], 'each line has its reason');

for my $lane (@lanes) {
    my $text = $unit{"battlepass-$lane.socket"};
    my %line = $text =~ /^(\w+)=(.*)$/mg;
    is([ @line{qw(ListenStream FileDescriptorName Service SocketUser SocketGroup SocketMode Backlog)} ],
        [ "/run/battlepass/$lane.sock", $lane, 'battlepass.service', 'root', 'www-data', '0660', '4096' ], "$lane: its socket");
    like($unit{'battlepass.service'}, qr/^Requires=.*\bbattlepass-\Q$lane\E\.socket\b/m, "$lane: the service needs it");
}

subtest 'the checks can fail' => sub {
    my $service = $unit{'battlepass.service'};
    write_units('battlepass.service' => $service =~ s/^NoNewPrivileges=.*\n|^PrivateUsers=.*\n|^ProtectSystem=.*\n|^SystemCallFilter=.*\n//mgr);
    cmp_ok(exposure(), '>', 1.5, 'a sandbox with holes');
    write_units('battlepass.service' => $service =~ s/^Type=notify/Type=notfiy/mr);
    isnt(verify(), '', 'a word that is none');
    write_units('battlepass-read.socket' => $unit{'battlepass-read.socket'} =~ s/^ListenStream=/ListenStraem=/mr);
    isnt(verify(), '', 'a key that is none');
    is(unexplained($service =~ s/^WatchdogSec=.*\n//mr), ['no WatchdogSec'], 'a reason for nothing');
    is(unexplained($service =~ s/^UMask=/Nice=5\nUMask=/mr), ['Nice'], 'a line without a reason');
};

done_testing;
